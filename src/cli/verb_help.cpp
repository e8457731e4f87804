// SPDX-License-Identifier: BSD-3-Clause
// The verbs about the tool itself: help, and a completion for bash that is made of the same declarations.
#include "verb.hpp"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

namespace dynascope::cli {
namespace {

// What CLI::IsMember adds to the name of an option's type: "{csv,npy,json}".
std::string choices_of(const CLI::Option& option) {
  const std::string type = option.get_type_name();
  const size_t begin = type.find('{'), end = type.rfind('}');
  if (begin == std::string::npos || end == std::string::npos) {
    return "";
  }
  std::string choices = type.substr(begin + 1, end - begin - 1);
  std::replace(choices.begin(), choices.end(), ',', ' ');
  return choices;
}

std::string long_options(const CLI::App& app) {
  std::string all;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) {
      all += (all.empty() ? "--" : " --") + name;
    }
  }
  return all;
}

void complete_values(std::ostream& to, const CLI::App& app) {
  for (const CLI::Option* option : app.get_options()) {
    if (const std::string choices = choices_of(*option); !choices.empty()) {
      for (const std::string& name : option->get_lnames()) {
        to << "    --" << name << ") COMPREPLY=($(compgen -W \"" << choices << "\" -- \"$word\")); return ;;\n";
      }
    }
  }
}

void print_completion(const CLI::App& app, std::ostream& to) {
  std::string verbs;
  for (const CLI::App* verb : app.get_subcommands(nullptr)) {
    verbs += (verbs.empty() ? "" : " ") + verb->get_name();
  }
  to << "# bash completion for dynascope, made by 'dynascope completion'. For this shell: eval \"$(dynascope "
        "completion)\"\n"
        "_dynascope() {\n"
        "  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} verb=\"\" i\n"
        "  for ((i = 1; i < COMP_CWORD; ++i)); do\n"
        "    [[ \" "
     << verbs
     << " \" == *\" ${COMP_WORDS[i]} \"* ]] && verb=${COMP_WORDS[i]} && break\n"
        "  done\n"
        "  case $before in\n";
  complete_values(to, app);
  to << "  esac\n"
        "  local words=\""
     << long_options(app) << "\"\n"
     << "  case $verb in\n";
  for (const CLI::App* verb : app.get_subcommands(nullptr)) {
    to << "  " << verb->get_name() << ")\n"
       << "    case $before in\n";
    complete_values(to, *verb);
    to << "    esac\n"
       << "    words+=\" " << long_options(*verb) << "\" ;;\n";
  }
  to << "  esac\n"
        "  [[ -z $verb || $verb == help ]] && words+=\" "
     << verbs
     << "\"\n"
        "  if [[ $word == -* || -z $verb || $verb == help ]]; then\n"
        "    COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n"
        "  fi\n"
        "}\n"
        "complete -o bashdefault -o default -F _dynascope dynascope\n";
}

}  // namespace

void add_help(CLI::App& app, Job& job) {
  auto wanted = std::make_shared<std::string>();
  CLI::App* verb = app.add_subcommand("help", "What a verb does, with an example; without one, what there is");
  verb->add_option("VERB", *wanted, "The verb")->type_name("")->check([&app](const std::string& name) {
    const auto verbs = app.get_subcommands(nullptr);
    const bool known = std::any_of(verbs.begin(), verbs.end(), [&](auto* one) { return one->get_name() == name; });
    return known ? std::string() : "there is no verb '" + name + "'; see 'dynascope --help'";
  });
  verb->footer("Example:\n  dynascope help export");
  verb->callback([&app, &job, wanted] {
    job.action = [&app, wanted](const Output& output) {
      // App::help would be that of the verb on the command line.
      output.data << (wanted->empty() ? app.get_formatter()->make_help(&app, app.get_name(), CLI::AppFormatMode::Normal)
                                      : app.get_subcommand(*wanted)->help(app.get_name()));
      return 0;
    };
  });
}

void add_completion(CLI::App& app, Job& job) {
  CLI::App* verb = app.add_subcommand("completion", "Print a completion of verbs, options and files for bash");
  verb->footer("Example:\n  eval \"$(dynascope completion)\"");
  verb->callback([&app, &job] {
    job.action = [&app](const Output& output) {
      print_completion(app, output.data);
      return 0;
    };
  });
}

}  // namespace dynascope::cli
