"""`ticketsearch completion`."""

import sys

from ticketsearch.commands import Command
from ticketsearch.errors import UsageError, closest

HELP = """\
Make the Tab key complete commands, flags, groups, names, keys and values: `pruner=<Tab>`, `schedule.<Tab>`.
Prints a script for the shell that you use; imports no torch, so that an answer takes a tenth of a second.

usage: ticketsearch completion bash|zsh|fish
       ticketsearch completion -- WORD ...     what the scripts ask: how can the last word go on?

examples:
  eval "$(ticketsearch completion bash)"                                      now, or in ~/.bashrc
  eval "$(ticketsearch completion zsh)"                                       in ~/.zshrc, after compinit
  ticketsearch completion fish > ~/.config/fish/completions/ticketsearch.fish
"""

SHELLS = {
    "bash": r"""_ticketsearch() {
    local line="${COMP_LINE:0:COMP_POINT}" words reply last
    read -r -a words <<< "$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    last="${words[${#words[@]}-1]}"
    COMPREPLY=()
    while IFS= read -r reply; do
        [[ $last == *=* && $COMP_WORDBREAKS == *=* ]] && reply="${reply#"${last%"${last##*=}"}"}"
        COMPREPLY+=("$reply")
    done < <("${words[0]}" completion -- "${words[@]:1}" 2> /dev/null)
    [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[=.] ]] && compopt -o nospace
    return 0
}
complete -o default -F _ticketsearch ticketsearch
""",
    "zsh": r"""#compdef ticketsearch
_ticketsearch() {
    local -a replies open whole
    replies=("${(@f)$("${words[1]}" completion -- "${(@)words[2,CURRENT]}" 2> /dev/null)}")
    open=(${(M)replies:#*[=.]})
    whole=(${replies:#*[=.]})
    (( $#open )) && compadd -S '' -a open
    (( $#whole )) && compadd -a whole
    (( $#open + $#whole )) && return
    [[ $PREFIX == *=* ]] && compset -P '*='
    _files
}
compdef _ticketsearch ticketsearch
""",
    "fish": r"""function __ticketsearch_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct | string replace -r '^[\'"]' '')
    set -l program $words[1]
    set -e words[1]
    set -l replies ($program completion -- $words "$current" 2> /dev/null)
    if test (count $replies) -gt 0
        printf '%s\n' $replies
    else if string match -q '*=*' -- $current
        set -l key (string replace -r '=.*' '=' -- $current)
        for path in (__fish_complete_path (string replace -r '^[^=]*=' '' -- $current))
            echo $key$path
        end
    else
        __fish_complete_path $current
    end
end
complete -c ticketsearch -f -a '(__ticketsearch_complete)'
""",
}


def main(arguments: list[str]) -> int:
    """Print a script, or the answers to one.

    Raises:
        UsageError: there is no script for such a shell.
    """
    if arguments[:1] == ["--"]:
        from ticketsearch.completion import complete

        sys.stdout.writelines(f"{reply}\n" for reply in complete(arguments[1:]))
        return 0
    if len(arguments) != 1:
        raise UsageError("which shell?", f"(choices: {' '.join(SHELLS)})", "ticketsearch completion bash")
    if arguments[0] not in SHELLS:
        attempt, otherwise = "ticketsearch completion {}", "ticketsearch completion --help"
        raise closest(arguments[0], SHELLS, f"no completion for {arguments[0]!r}", attempt, otherwise)
    sys.stdout.write(SHELLS[arguments[0]])
    return 0


COMMAND = Command(main, lambda: HELP, words=lambda: tuple(SHELLS))
