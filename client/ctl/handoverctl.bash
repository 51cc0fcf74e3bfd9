# SPDX-License-Identifier: LGPL-2.1-or-later
# bash completion for handoverctl.
# shellcheck shell=bash

# What the daemon says, as JSON. Nothing if it cannot be asked at once, or if the command line names
# another host: an ssh for a tabulator would take too long.
_handoverctl_ask() {
  local word
  for word in "${COMP_WORDS[@]}"; do
    case $word in -H* | -M* | --host* | --machine*) return ;; esac
  done
  handoverctl --json --timeout 2 "$@" 2>/dev/null
}

# Names of sessions, one a line.
_handoverctl_sessions() {
  _handoverctl_ask sessions | sed -n 's/^ *"name": "\([^"\\]*\)",\{0,1\}$/\1/p'
}

# Names of registered clients.
_handoverctl_clients() {
  _handoverctl_ask clients | sed -n 's/^ *"name": "\([^"\\]*\)",\{0,1\}$/\1/p'
}

# Tokens that the session $1 holds, which is as it was typed: with backslashes, and no name has any.
_handoverctl_tokens() {
  _handoverctl_ask sessions "${1//\\/}" | sed -n 's/^ *"token": \([0-9]*\),\{0,1\}$/\1/p'
}

# Ids of past updates: those at the outermost level of the records.
_handoverctl_updates() {
  _handoverctl_ask history | sed -n 's/^ \{4\}"id": \([0-9]*\),\{0,1\}$/\1/p'
}

# Releases of kernels.
_handoverctl_releases() {
  _handoverctl_ask kernels | sed -n 's/^ *"release": "\([^"\\]*\)",\{0,1\}$/\1/p'
}

# Offers those lines of standard input that begin with $1. Names are whatever somebody chose: unlike
# compgen -W this expands nothing in them, and what is offered is quoted for the command line.
_handoverctl_offer() {
  local name quoted
  while IFS= read -r name; do
    [[ -n $name ]] || continue
    printf -v quoted %q "$name"
    if [[ $name == "$1"* || $quoted == "$1"* ]]; then COMPREPLY+=("$quoted"); fi
  done
}

_handoverctl() {
  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
  local command='' action='' name='' word choices='' names='' options
  local common='--json -o --output-format -q --quiet --no-legend --timeout -H --host -M --machine'
  local -i position=0 i
  COMPREPLY=()

  # The words before the cursor that are no options nor their values.
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=${COMP_WORDS[i]}
    case $word in
      --initrd | --cmdline | --allow | --backend | --client | --fd | --file | --output | -n | --most | \
        --for | --at-most | --fleet-state | --timeout | -o | --output-format | -H | --host | -M | --machine)
        i+=1
        ;;
      -*) ;;
      *)
        if [[ -z $command ]]; then
          command=$word
        elif [[ $command == @(session|client|kernels) && -z $action ]]; then
          action=$word
        else
          if [[ $position -eq 0 ]]; then name=$word; fi
          position+=1
        fi
        ;;
    esac
  done

  case $previous in
    --initrd | --file | --output | --fleet-state)
      compopt -o filenames 2>/dev/null
      mapfile -t COMPREPLY < <(compgen -f -- "$current")
      return
      ;;
    --client)
      _handoverctl_offer "$current" < <(_handoverctl_clients)
      return
      ;;
    --for)
      mapfile -t COMPREPLY < <(compgen -W 'normal preparing prepared freezing frozen rebooting
        restoring cancelling thawing withdrawing' -- "$current")
      return
      ;;
    -o | --output-format)
      mapfile -t COMPREPLY < <(compgen -W 'short json' -- "$current")
      return
      ;;
    -H | --host)
      mapfile -t COMPREPLY < <(compgen -A hostname -- "$current")
      return
      ;;
    -M | --machine)
      _handoverctl_offer "$current" < <(machinectl list --no-legend 2>/dev/null | cut -d ' ' -f 1)
      return
      ;;
    --cmdline | --fd | -n | --most | --at-most | --timeout)
      return
      ;;
    --backend)
      mapfile -t COMPREPLY < <(compgen -W 'luo tracker emulated' -- "$current")
      return
      ;;
  esac

  options="$common"
  case $command${action:+ $action} in
    '')
      choices='status clients sessions preflight update prepare cancel wait monitor history metrics kernels client session'
      options+=' --version'
      ;;
    preflight | update | prepare)
      options+=' --initrd --cmdline --allow'
      if [[ $command != preflight ]]; then options+=' --immediate --orderly --no-block'; fi
      if [[ $command == update ]]; then options+=' --rehearse --at-most --wait-for-window'; fi
      if [[ $current != -* && $position -eq 0 ]]; then
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -f -- "${current:-/boot/vmlinuz-}")
        return
      fi
      ;;
    status)
      options+=' -v --verbose'
      ;;
    sessions)
      if [[ $position -eq 0 ]]; then names=$(_handoverctl_sessions); fi
      ;;
    session)
      choices='create preserve unpreserve retrieve finish discard'
      options=''
      ;;
    'session create')
      options+=' --backend --client'
      ;;
    'session '*)
      case $action in
        preserve) options+=' --fd --file --stdin --backend' ;;
        retrieve) options+=' --output' ;;
      esac
      case $position,$action in
        0,*) names=$(_handoverctl_sessions) ;;
        1,retrieve | 1,unpreserve) names=$(_handoverctl_tokens "$name") ;;
        2,retrieve) choices='--' ;;
      esac
      ;;
    cancel)
      options+=' --no-block'
      ;;
    wait)
      options+=' --for'
      ;;
    client)
      choices='unregister'
      options=''
      ;;
    'client unregister')
      if [[ $position -eq 0 ]]; then names=$(_handoverctl_clients); fi
      ;;
    metrics)
      options+=' --output --text --preflight --http --fleet-state'
      ;;
    kernels)
      choices='allow'
      ;;
    'kernels allow')
      if [[ $position -eq 0 ]]; then names=$(_handoverctl_releases); fi
      ;;
    history)
      options+=' -n --most'
      if [[ $position -eq 0 ]]; then names=$(_handoverctl_updates); fi
      ;;
  esac
  if [[ -n $names && $current != -* ]]; then
    _handoverctl_offer "$current" <<<"$names"
    return
  fi
  if [[ -z $choices || $current == -* ]]; then choices+=" $options -h --help"; fi
  mapfile -t COMPREPLY < <(compgen -W "$choices" -- "$current")
}

complete -F _handoverctl handoverctl
