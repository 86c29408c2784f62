/** Completion scripts, made from the commands themselves. */
import { Argument, type Command } from "commander";

const SHELLS = ["bash", "zsh", "fish"] as const;

export function addCompletion(program: Command): void {
  program
    .command("completion")
    .description("print a completion script for your shell")
    .addArgument(new Argument("<shell>", "which shell").choices(SHELLS))
    .addHelpText(
      "after",
      "\nbash: evenkeel completion bash > /etc/bash_completion.d/evenkeel\nzsh:  evenkeel completion zsh > ~/.zfunc/_evenkeel\nfish: evenkeel completion fish > ~/.config/fish/completions/evenkeel.fish",
    )
    .action((shell: (typeof SHELLS)[number]) => {
      console.log(script(shell, commandsOf(program)));
    });
}

interface CommandWords {
  readonly name: string;
  readonly description: string;
  readonly options: readonly string[];
}

/** The commands that users are to know. */
export function commandsOf(program: Command): CommandWords[] {
  return program.commands
    .filter((command) => command.name() !== "worker")
    .map((command) => ({
      name: command.name(),
      description: command.description(),
      options: command.options.flatMap(({ short, long }) => [short, long].flatMap((flag) => flag ?? [])),
    }));
}

function script(shell: (typeof SHELLS)[number], commands: readonly CommandWords[]): string {
  const names = commands.map(({ name }) => name).join(" ");
  switch (shell) {
    case "bash":
      return `_evenkeel() {
  local word="\${COMP_WORDS[COMP_CWORD]}" command="\${COMP_WORDS[1]}"
  if [ "$COMP_CWORD" -eq 1 ]; then COMPREPLY=($(compgen -W "${names}" -- "$word")); return; fi
  case "$command" in
${commands.map(({ name, options }) => `    ${name}) COMPREPLY=($(compgen -W "${options.join(" ")}" -- "$word") $(compgen -f -- "$word")) ;;`).join("\n")}
  esac
}
complete -o filenames -F _evenkeel evenkeel`;
    case "zsh":
      return `#compdef evenkeel
local -a commands=(${commands.map(({ name, description }) => `'${name}:${description.replaceAll("'", "")}'`).join(" ")})
if (( CURRENT == 2 )); then _describe command commands; return; fi
case "$words[2]" in
${commands.map(({ name, options }) => `  ${name}) compadd -- ${options.join(" ")}; _files ;;`).join("\n")}
esac`;
    case "fish":
      return [
        ...commands.map(
          ({ name, description }) =>
            `complete -c evenkeel -n __fish_use_subcommand -a ${name} -d '${description.replaceAll("'", "")}'`,
        ),
        ...commands.flatMap(({ name, options }) =>
          options
            .filter((flag) => flag.startsWith("--"))
            .map((flag) => `complete -c evenkeel -n '__fish_seen_subcommand_from ${name}' -l ${flag.slice(2)}`),
        ),
      ].join("\n");
  }
}
