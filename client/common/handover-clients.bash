# SPDX-License-Identifier: LGPL-2.1-or-later
# bash completion for handover-memfd, handover-vmm, handover-iommu and handover-fleet: what their help
# texts list.
# shellcheck shell=bash

# The commands ($2 = commands) or options ($2 = options) that the help text of "$1 $3" has.
_handover_client_words() {
  local pattern='s/^ \{1,\}\(-[A-Za-z],\)\{0,1\}\(--[a-z-]*\).*/\2/p'
  if [[ $2 == commands ]]; then pattern='/^Subcommands:/,/^$/s/^  \([a-z]\{1,\}\) .*/\1/p'; fi
  # shellcheck disable=SC2086  # "lock list" is two words
  "$1" $3 --help 2>/dev/null | sed -n "$pattern"
}

# The names that are configured for the program $1.
_handover_client_names() {
  local file
  for file in "/etc/handover/${1##*handover-}"/*.{conf,json}; do
    [[ -e $file ]] || continue
    file=${file##*/}
    printf '%s\n' "${file%.*}"
  done
}

# Offers those lines of standard input that begin with $1. Names are whatever somebody chose: unlike
# compgen -W this expands nothing in them, and what is offered is quoted for the command line.
_handover_client_offer() {
  local name quoted
  while IFS= read -r name; do
    [[ -n $name ]] || continue
    printf -v quoted %q "$name"
    if [[ $name == "$1"* || $quoted == "$1"* ]]; then COMPREPLY+=("$quoted"); fi
  done
}

_handover_client() {
  local program=$1 current=$2 previous=$3 command='' word choices=''
  COMPREPLY=()
  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    # What is behind it is another program's.
    if [[ $word == -- ]]; then
      compopt -o default 2>/dev/null
      return
    fi
    # "lock" of handover-fleet has commands of its own.
    if [[ ($command == '' || $command == lock) && $word =~ ^[a-z]+$ ]]; then
      command+=${command:+ }$word
    fi
  done
  # handover-memfd names it by an option.
  if [[ $current == -* || ($previous == restart && $program == *memfd) ]]; then previous=''; fi
  case $previous in
    --name | status | restart)
      _handover_client_offer "$current" < <(_handover_client_names "$program")
      return
      ;;
    --config | --directory | check)
      compopt -o filenames 2>/dev/null
      mapfile -t COMPREPLY < <(compgen -f -- "$current")
      return
      ;;
  esac
  if [[ ($command == '' || $command == lock) && $current != -* ]]; then
    choices=$(_handover_client_words "$program" commands "$command")
  else
    choices=$(_handover_client_words "$program" options "$command")
  fi
  mapfile -t COMPREPLY < <(compgen -W "$choices" -- "$current")
}

complete -F _handover_client handover-memfd handover-vmm handover-iommu handover-fleet
