# SPDX-License-Identifier: LGPL-2.1-or-later
# bash completion for handoverctl.
# shellcheck shell=bash

# Names of sessions, one a line; nothing if the daemon cannot be asked.
_handoverctl_sessions() {
  handoverctl sessions --json 2>/dev/null |
    sed -n 's/^ *"name": "\([^"\\]*\)",\{0,1\}$/\1/p'
}

# Names of registered clients.
_handoverctl_clients() {
  handoverctl clients --json 2>/dev/null |
    sed -n 's/^ *"name": "\([^"\\]*\)",\{0,1\}$/\1/p'
}

_handoverctl() {
  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
  local command='' action='' word choices=''
  local -i position=0 i
  COMPREPLY=()

  # The words before the cursor that are no options nor their values.
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=${COMP_WORDS[i]}
    case $word in
      --initrd | --cmdline | --backend | --client | --fd | --file | --output | -n | --most | \
        --for | --timeout | -o | --output-format)
        i+=1
        ;;
      -*) ;;
      *)
        if [[ -z $command ]]; then
          command=$word
        elif [[ $command == session || $command == client ]] && [[ -z $action ]]; then
          action=$word
        else
          position+=1
        fi
        ;;
    esac
  done

  case $previous in
    --initrd | --file | --output)
      compopt -o filenames
      mapfile -t COMPREPLY < <(compgen -f -- "$current")
      return
      ;;
    --client)
      mapfile -t COMPREPLY < <(compgen -W "$(_handoverctl_clients)" -- "$current")
      return
      ;;
    --for)
      mapfile -t COMPREPLY < <(compgen -W 'normal prepared frozen restoring' -- "$current")
      return
      ;;
    -o | --output-format)
      mapfile -t COMPREPLY < <(compgen -W 'short json' -- "$current")
      return
      ;;
    --cmdline | --fd | -n | --most | --timeout)
      return
      ;;
    --backend)
      mapfile -t COMPREPLY < <(compgen -W 'luo tracker emulated' -- "$current")
      return
      ;;
  esac

  case $command${action:+ $action} in
    '')
      choices='status clients sessions update prepare cancel wait monitor history client session
               --json --quiet --no-legend --timeout --help --version'
      ;;
    update | prepare)
      choices='--initrd --cmdline --immediate --orderly --json --help'
      if [[ $current != -* && $position -eq 0 ]]; then
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -f -- "${current:-/boot/vmlinuz-}")
        return
      fi
      ;;
    status)
      choices='--verbose --json --help'
      ;;
    sessions)
      choices="--json --help"
      if [[ $position -eq 0 ]]; then choices+=" $(_handoverctl_sessions)"; fi
      ;;
    session)
      choices='create preserve unpreserve retrieve finish discard --help'
      ;;
    'session create')
      choices='--backend --client --json --help'
      ;;
    'session '*)
      choices='--json --help'
      case $action in
        preserve) choices+=' --fd --file --stdin --backend' ;;
        retrieve) choices+=' --output --' ;;
      esac
      if [[ $position -eq 0 ]]; then choices+=" $(_handoverctl_sessions)"; fi
      ;;
    cancel)
      choices='--no-block --json --help'
      ;;
    wait)
      choices='--for --timeout --json --help'
      ;;
    client)
      choices='unregister --help'
      ;;
    'client unregister')
      choices='--json --help'
      if [[ $position -eq 0 ]]; then choices+=" $(_handoverctl_clients)"; fi
      ;;
    history)
      choices='--most --json --help'
      ;;
    *)
      choices='--json --help'
      ;;
  esac
  mapfile -t COMPREPLY < <(compgen -W "$choices" -- "$current")
}

complete -F _handoverctl handoverctl
