# SPDX-License-Identifier: LGPL-2.1-or-later
# fish completion for handoverctl.

# The words before the cursor that are no options nor their values.
function __handoverctl_words
    set -l tokens (commandline -opc)
    set -e tokens[1]
    set -l skip no
    for token in $tokens
        if test $skip = yes
            set skip no
            continue
        end
        switch $token
            case --initrd --cmdline --allow --backend --client --fd --file --output -n --most --for \
                --at-most --fleet-state --timeout -o --output-format -H --host -M --machine
                set skip yes
            case '-*'
            case '*'
                echo -- $token
        end
    end
end

# The command, with its second word if it has one; nothing if there is none yet.
function __handoverctl_command
    set -l words (__handoverctl_words)
    if contains -- "$words[1]" session client kernels
        echo -- "$words[1..2]"
    else
        echo -- "$words[1]"
    end
end

# Whether the command is one of these; '' is none.
function __handoverctl_at
    contains -- (__handoverctl_command) $argv
end

# Whether the word at the cursor is the command's argument number $argv[1].
function __handoverctl_argument
    set -l words (__handoverctl_words)
    set -l before 1
    if contains -- "$words[1]" session client kernels
        set before 2
    end
    test (count $words) -eq (math $before + $argv[1] - 1)
end

# What the daemon says, as JSON. Nothing if it cannot be asked at once, or if the command line names
# another host: an ssh for a tabulator would take too long.
function __handoverctl_ask
    if string match -qr -- '^(-H|-M|--host|--machine)' (commandline -opc)
        return
    end
    handoverctl --json --timeout 2 $argv 2>/dev/null
end

function __handoverctl_names
    __handoverctl_ask $argv[1] | string match -rg '^ *"name": "([^"\\\\]*)",?$'
end

# Of the session that stands before it.
function __handoverctl_tokens
    set -l words (__handoverctl_words)
    __handoverctl_ask sessions $words[3] | string match -rg '^ *"token": ([0-9]+),?$'
end

function __handoverctl_releases
    __handoverctl_ask kernels | string match -rg '^ *"release": "([^"\\\\]*)",?$'
end

# The ids at the outermost level of the records.
function __handoverctl_updates
    __handoverctl_ask history | string match -rg '^ {4}"id": ([0-9]+),?$'
end

function __handoverctl_machines
    machinectl list --no-legend 2>/dev/null | string match -rg '^(\S+)'
end

complete -c handoverctl -f

# Every command
complete -c handoverctl -s h -l help -d 'Print a help text'
complete -c handoverctl -n 'not __handoverctl_at session client' -l json -d 'Print JSON, for programs'
complete -c handoverctl -n 'not __handoverctl_at session client' -s o -l output-format -x -a 'short json' -d 'The output format'
complete -c handoverctl -n 'not __handoverctl_at session client' -s q -l quiet -d 'Show no progress'
complete -c handoverctl -n 'not __handoverctl_at session client' -l no-legend -d 'Show no titles over tables'
complete -c handoverctl -n 'not __handoverctl_at session client' -l timeout -x -d 'Wait so many seconds for an answer'
complete -c handoverctl -n 'not __handoverctl_at session client' -s H -l host -x -a '(__fish_print_hostnames)' -d 'Ask the daemon there, by ssh'
complete -c handoverctl -n 'not __handoverctl_at session client' -s M -l machine -x -a '(__handoverctl_machines)' -d 'Ask the daemon in that machine'

# Commands
complete -c handoverctl -n '__handoverctl_at ""' -l version -d 'Print the version'
complete -c handoverctl -n '__handoverctl_at ""' -a status -d 'Show the daemon\'s state'
complete -c handoverctl -n '__handoverctl_at ""' -a clients -d 'List the registered clients'
complete -c handoverctl -n '__handoverctl_at ""' -a sessions -d 'List the sessions, or what one of them holds'
complete -c handoverctl -n '__handoverctl_at ""' -a preflight -d 'Show what an update would meet, and begin none'
complete -c handoverctl -n '__handoverctl_at ""' -a update -d 'Go into another kernel with all preserved state'
complete -c handoverctl -n '__handoverctl_at ""' -a prepare -d 'Do all of an update that can be done before the freeze'
complete -c handoverctl -n '__handoverctl_at ""' -a cancel -d 'End the running update and undo it'
complete -c handoverctl -n '__handoverctl_at ""' -a wait -d 'Wait until the daemon or a client is in a state'
complete -c handoverctl -n '__handoverctl_at ""' -a monitor -d 'Print what happens, as it happens'
complete -c handoverctl -n '__handoverctl_at ""' -a history -d 'List past updates, or show one of them'
complete -c handoverctl -n '__handoverctl_at ""' -a metrics -d 'Print metrics for Prometheus'
complete -c handoverctl -n '__handoverctl_at ""' -a kernels -d 'List the kernel images, and which are good, bad or untried'
complete -c handoverctl -n '__handoverctl_at ""' -a client -d 'Change what is known of a client'
complete -c handoverctl -n '__handoverctl_at ""' -a session -d 'Make and use sessions, for scripts'
complete -c handoverctl -n '__handoverctl_at client' -a unregister -d 'Forget a client that does not come back'
complete -c handoverctl -n '__handoverctl_at kernels' -a allow -d 'Count a bad kernel as untried again'
complete -c handoverctl -n '__handoverctl_at session' -a create -d 'Make a session'
complete -c handoverctl -n '__handoverctl_at session' -a preserve -d 'Preserve a descriptor under a token'
complete -c handoverctl -n '__handoverctl_at session' -a unpreserve -d 'Give up one token'
complete -c handoverctl -n '__handoverctl_at session' -a retrieve -d 'Get a descriptor back'
complete -c handoverctl -n '__handoverctl_at session' -a finish -d 'End a session that was retrieved'
complete -c handoverctl -n '__handoverctl_at session' -a discard -d 'End a session and preserve nothing of it'

# Options of some
complete -c handoverctl -n '__handoverctl_at status' -s v -l verbose -d 'Show what it counts, too'
complete -c handoverctl -n '__handoverctl_at preflight update prepare' -l initrd -r -F -d 'Its initial RAM disk'
complete -c handoverctl -n '__handoverctl_at preflight update prepare' -l cmdline -x -d 'Its command line'
complete -c handoverctl -n '__handoverctl_at preflight update prepare' -l allow -x -d 'Go on in spite of that finding of preflight'
complete -c handoverctl -n '__handoverctl_at update prepare' -l immediate -d 'Reboot at once: the shortest blackout'
complete -c handoverctl -n '__handoverctl_at update prepare' -l orderly -d 'Stop all units in order first'
complete -c handoverctl -n '__handoverctl_at update prepare' -l no-block -d 'Print its number, and do not wait for its end'
complete -c handoverctl -n '__handoverctl_at update' -l wait-for-window -d 'Begin when the maintenance window of this host opens'
complete -c handoverctl -n '__handoverctl_at update' -l rehearse -d 'Undo it before the kernel is left'
complete -c handoverctl -n '__handoverctl_at update' -l at-most -x -d 'Undo the rehearsal when it stands still so long'
complete -c handoverctl -n '__handoverctl_at cancel' -l no-block -d 'Do not wait until everybody runs'
complete -c handoverctl -n '__handoverctl_at wait' -l for -x -a 'normal preparing prepared freezing frozen rebooting restoring cancelling thawing withdrawing' -d 'The daemon\'s state, or a client\'s phase'
complete -c handoverctl -n '__handoverctl_at history' -s n -l most -x -d 'How many to list'
complete -c handoverctl -n '__handoverctl_at "session create" "session preserve"' -l backend -x -a 'luo tracker emulated' -d 'Keep it there'
complete -c handoverctl -n '__handoverctl_at "session create"' -l client -x -a '(__handoverctl_names clients)' -d 'Registered client it belongs to'
complete -c handoverctl -n '__handoverctl_at "session preserve"' -l fd -x -d 'A descriptor that was inherited'
complete -c handoverctl -n '__handoverctl_at "session preserve"' -l file -r -F -d 'A file, opened for reading and writing'
complete -c handoverctl -n '__handoverctl_at "session preserve"' -l stdin -d 'The contents of standard input, as a memfd'
complete -c handoverctl -n '__handoverctl_at "session retrieve"' -l output -r -F -d 'Write the contents there'
complete -c handoverctl -n '__handoverctl_at metrics' -l output -r -F -d 'Replace that file, in node_exporter\'s text format'
complete -c handoverctl -n '__handoverctl_at metrics' -l text -d 'Prometheus\' text format, not OpenMetrics'
complete -c handoverctl -n '__handoverctl_at metrics' -l preflight -d 'Tell what an update would meet'
complete -c handoverctl -n '__handoverctl_at metrics' -l http -d 'Answer one HTTP request on standard input'
complete -c handoverctl -n '__handoverctl_at metrics' -l fleet-state -r -F -d 'Of handover-fleet'

# Arguments
complete -c handoverctl -n '__handoverctl_at preflight update prepare; and __handoverctl_argument 1' -F
complete -c handoverctl -n '__handoverctl_at sessions; and __handoverctl_argument 1' -a '(__handoverctl_names sessions)'
complete -c handoverctl -n '__handoverctl_at "client unregister"; and __handoverctl_argument 1' -a '(__handoverctl_names clients)'
complete -c handoverctl -n '__handoverctl_at "kernels allow"; and __handoverctl_argument 1' -a '(__handoverctl_releases)'
complete -c handoverctl -n '__handoverctl_at history; and __handoverctl_argument 1' -a '(__handoverctl_updates)'
complete -c handoverctl -n '__handoverctl_at "session preserve" "session unpreserve" "session retrieve" "session finish" "session discard"; and __handoverctl_argument 1' -a '(__handoverctl_names sessions)'
complete -c handoverctl -n '__handoverctl_at "session unpreserve" "session retrieve"; and __handoverctl_argument 2' -a '(__handoverctl_tokens)'
