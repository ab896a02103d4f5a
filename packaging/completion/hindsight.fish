# Completion for fish: subcommands, and the options that each one's --help lists.
function __hindsight_options
    set -l words (commandline -opc)
    hindsight $words[2] --help | string match -arg '(?:^|[ \[|,])--([a-z][a-z-]*)' | sort -u | string replace -r '^' -- --
end
complete -c hindsight -n __fish_use_subcommand -f -a "(hindsight --help | string replace -rf '^  ([a-z]+) +(.*)' '\$1\t\$2')"
complete -c hindsight -n 'not __fish_use_subcommand; and string match -q -- "-*" (commandline -ct)' -a '(__hindsight_options)'
