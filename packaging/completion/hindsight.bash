# Completion for bash: subcommands, and the options that each one's --help lists.
_hindsight()
{
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}
    if [ "$COMP_CWORD" -eq 1 ]; then
        mapfile -t COMPREPLY < <(compgen -W "$(hindsight --help | sed -n 's/^  \([a-z]*\) .*/\1/p') --help --version" -- "$word")
        return
    fi
    case $before in
        --engine) mapfile -t COMPREPLY < <(compgen -W 'auto kvm soft' -- "$word") && return ;;
        --pace) mapfile -t COMPREPLY < <(compgen -W 'real fast' -- "$word") && return ;;
        --boot) mapfile -t COMPREPLY < <(compgen -W 'auto elf64 pvh multiboot multiboot2 linux' -- "$word") && return ;;
        --cpu-rules) mapfile -t COMPREPLY < <(compgen -W 'amd intel' -- "$word") && return ;;
    esac
    if [[ $word == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$(hindsight "${COMP_WORDS[1]}" --help | grep -oE '(^|[ [|,])--?[a-z][a-z-]*' | tr -d ' [|,' | sort -u)" -- "$word")
    else
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -f -- "$word")
    fi
}
complete -F _hindsight hindsight
