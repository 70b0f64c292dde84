/**
 * `ferrite completion SHELL`: the script that completes the command line in bash, zsh or fish. It is made from the table of
 * options (options.ts) and the schema of the configuration, and calls no program.
 *
 *   eval "$(ferrite completion bash)"                     or as a file: /usr/share/bash-completion/completions/ferrite
 *   ferrite completion zsh > "${fpath[1]}/_ferrite"
 *   ferrite completion fish > ~/.config/fish/completions/ferrite.fish
 */
import { KEYS, type KeySpec } from "../base/config/schema.ts";
import {
  type CommandSpec,
  commandSpec,
  type Completion,
  isSubcommand,
  optionsOf,
  type OptionSpec,
  SERVER,
  type Shell,
  SUBCOMMANDS,
} from "./options.ts";

export function completionScript(shell: Shell): string {
  switch (shell) {
    case "bash":
      return bashScript();
    case "zsh":
      return zshScript();
    case "fish":
      return fishScript();
  }
}

/** Redis's parameters as options. */
function redisOptions(): OptionSpec[] {
  const own = new Set(SERVER.options.map(({ name }) => name));
  return KEYS.flatMap((spec) => spec.redis.map((name) => ({ spec, name })))
    .filter(({ name }) => !own.has(name))
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .map(({ spec, name }) => ({
      name,
      short: "",
      value: "VALUE",
      doc: `as redis-server; ${spec.name}`,
      completion: completionOf(spec),
      key: spec.name,
      isRepeatable: false,
    }));
}

function completionOf(spec: KeySpec): Completion {
  if (spec.type === "bool") return ["yes", "no"];
  if (spec.choices.length > 0) return spec.choices;
  return spec.type === "path" ? "file" : "none";
}

/** The options that a command completes. */
function completedOptions(command: CommandSpec): OptionSpec[] {
  const isServer = command.name === "" || command.hasServerOptions;
  return [...optionsOf(command), ...(isServer ? redisOptions() : [])];
}

const ALL: readonly CommandSpec[] = [SERVER, ...SUBCOMMANDS.map(commandSpec)];

function spellings({ name, short }: OptionSpec): string[] {
  return short === "" ? [`--${name}`] : [`-${short}`, `--${name}`];
}

const SET_WORDS: readonly string[] = KEYS.map(({ name }) => `${name}=`);

function completionFor(option: OptionSpec): Completion {
  return option.name === "set" ? SET_WORDS : option.completion;
}

// ---- bash ----

function bashScript(): string {
  return `# bash completion for ferrite, made by: ferrite completion bash
_ferrite() {
  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD-1]} command="" words="" kind=""
  COMPREPLY=()
  case \${COMP_WORDS[1]} in ${SUBCOMMANDS.join("|")}) [ "$COMP_CWORD" -gt 1 ] && command=\${COMP_WORDS[1]} ;; esac
  case $command in
${ALL.map(bashCommand).join("\n")}
  esac
  [ "$COMP_CWORD" -eq 1 ] && words="$words ${SUBCOMMANDS.join(" ")}"
  case $kind in
    file) COMPREPLY=($(compgen -f -- "$current")); compopt -o filenames 2>/dev/null ;;
    directory) COMPREPLY=($(compgen -d -- "$current")); compopt -o filenames 2>/dev/null ;;
    none) ;;
    *) COMPREPLY=($(compgen -W "$words" -- "$current")) ;;
  esac
  local first=\${COMPREPLY[0]:-}
  [ "$first" != "\${first%=}" ] && compopt -o nospace 2>/dev/null
  if [ -z "$kind" ] && [[ $current != -* ]] && [ "$files" = yes ]; then
    COMPREPLY+=($(compgen -f -- "$current")); compopt -o filenames 2>/dev/null
  fi
}
complete -F _ferrite ferrite`;
}

/** The branch of one command: what completes the value of the option before, else the words. */
function bashCommand(command: CommandSpec): string {
  const options = completedOptions(command);
  const cases = new Map<string, string[]>();
  for (const each of options) {
    if (each.value === "") continue;
    const action = bashAction(completionFor(each));
    cases.set(action, [...(cases.get(action) ?? []), ...spellings(each)]);
  }
  const { completion } = command;
  const operands = typeof completion === "string" ? [] : completion;
  const lines = [...cases].map(([action, names]) => `        ${names.join("|")}) ${action} ;;`);
  const words = [...options.flatMap(spellings), ...operands].join(" ");
  return `    ${command.name === "" ? '""' : command.name})
      local files=${completion === "file" ? "yes" : "no"}
      case $previous in
${lines.join("\n")}
        *) words="${words}" ;;
      esac ;;`;
}

function bashAction(completion: Completion): string {
  return typeof completion === "string" ? `kind=${completion}` : `kind=words words="${completion.join(" ")}"`;
}

// ---- zsh ----

function zshScript(): string {
  return `#compdef ferrite
# zsh completion for ferrite, made by: ferrite completion zsh
_ferrite() {
  local -a commands=(
${SUBCOMMANDS.map((name) => `    ${quoted(`${name}:${commandSpec(name).doc}`)}`).join("\n")}
  )
  case \${words[2]} in
${SUBCOMMANDS.map((name) => zshCommand(commandSpec(name))).join("\n")}
  esac
  if (( CURRENT == 2 )) && [[ \${words[2]} != -* ]]; then
    _describe -t commands command commands
    _files
    return
  fi
  _arguments -S \\
${zshArguments(SERVER)}
}
if [ "$funcstack[1]" = _ferrite ]; then _ferrite "$@"; else compdef _ferrite ferrite; fi`;
}

function zshCommand(command: CommandSpec): string {
  return `    ${command.name})
      if (( CURRENT > 2 )); then
        shift words; (( CURRENT-- ))
        _arguments -S \\
${zshArguments(command)}
        return
      fi ;;`;
}

function zshArguments(command: CommandSpec): string {
  const rows = completedOptions(command).flatMap((each) =>
    spellings(each).map((word) => {
      const text = `[${each.doc.replace(/[[\]:\\]/g, "\\$&")}]`;
      const value = each.value === "" ? "" : `:${each.value}:${zshAction(completionFor(each))}`;
      return quoted(`${each.isRepeatable ? "*" : ""}${word}${text}${value}`);
    }),
  );
  if (command.operands !== "") rows.push(quoted(`*:${command.operands}:${zshAction(command.completion)}`));
  return rows.map((row) => `    ${row}`).join(" \\\n");
}

function zshAction(completion: Completion): string {
  if (completion === "file") return "_files";
  if (completion === "directory") return "_files -/";
  return completion === "none" ? " " : `(${completion.join(" ")})`;
}

// ---- fish ----

function fishScript(): string {
  const first = `not __fish_seen_subcommand_from ${SUBCOMMANDS.join(" ")}`;
  return [
    "# fish completion for ferrite, made by: ferrite completion fish",
    ...SUBCOMMANDS.map(
      (name) => `complete -c ferrite -n __fish_use_subcommand -a ${name} -d ${quoted(commandSpec(name).doc)}`,
    ),
    ...ALL.flatMap((command) => {
      const condition = isSubcommand(command.name) ? `__fish_seen_subcommand_from ${command.name}` : first;
      return fishCommand(command, condition);
    }),
  ].join("\n");
}

function fishCommand(command: CommandSpec, condition: string): string[] {
  const head = `complete -c ferrite -n ${quoted(condition)}`;
  const lines = completedOptions(command).map((each) => {
    const short = each.short === "" ? "" : ` -s ${each.short}`;
    return `${head}${short} -l ${each.name}${fishValue(each)} -d ${quoted(each.doc)}`;
  });
  const { completion } = command;
  if (completion !== "file") lines.push(`${head} -f`);
  if (typeof completion !== "string") lines.push(`${head} -a ${quoted(completion.join(" "))}`);
  return lines;
}

function fishValue(option: OptionSpec): string {
  const completion = completionFor(option);
  if (option.value === "") return "";
  if (completion === "file") return " -r -F";
  if (completion === "directory") return ` -x -a ${quoted("(__fish_complete_directories)")}`;
  return completion === "none" ? " -x" : ` -x -a ${quoted(completion.join(" "))}`;
}

/** In single quotes, for all three shells. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
