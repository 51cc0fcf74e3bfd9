#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""ctl_completion.py DIRECTORY HANDOVERCTL CLIENT...: the completions of bash, zsh and fish, and the
one of bash for the other clients, offer each command and each option that `--help` has, where it has
it, and nothing else; and those of bash run nothing that is in a name. DIRECTORY is the source's
`client`.
ctl_completion.py DIRECTORY zsh|fish: that shell can read its file (77: the shell is not here)."""

import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

OPTION = re.compile(r"(?<![\w-])(--[a-z][a-z-]*|-[A-Za-z])(?![\w-])")


def help_of(program, command):
    """The commands below `command` and its options, by its help text."""
    text = subprocess.run(
        [program, *command.split(), "--help"], check=True, capture_output=True, text=True
    ).stdout
    commands, options, inside = set(), set(), False
    for line in text.splitlines():
        if not line.startswith(" "):
            inside = line == "Subcommands:"
        elif inside and (word := re.match(r"  (\w+)", line)):
            commands.add(word[1])
        elif names := re.match(r" +(-\w,)?(--[a-z-]+)", line):
            options.update(name.strip(",") for name in names.groups() if name)
    return commands, options


def tree(program, command=""):
    """{command: (commands, options)} of all there is."""
    commands, options = help_of(program, command)
    all_of_it = {command: (commands, options)}
    for word in commands:
        all_of_it.update(tree(program, f"{command} {word}".strip()))
    return all_of_it


def bash_offers(path, function, program, command, current):
    """What the function really answers for `PROGRAM COMMAND CURRENT<TAB>`."""
    words = [Path(program).name, *command.split(), current]
    script = (
        'source "$1"; function=$2; program=$3; shift 3; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); '
        'handoverctl() { :; }; "$function" "$program" "${COMP_WORDS[COMP_CWORD]}" '
        '"${COMP_WORDS[COMP_CWORD - 1]}"; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "-c", script, "bash", path, function, program, *words],
        check=True, capture_output=True, text=True,
    )
    if done.stderr:
        sys.exit(f"bash, {words}: {done.stderr}")
    return set(done.stdout.split())


def from_bash(path, function, program, commands):
    def offers(command, current):
        return bash_offers(path, function, program, command, current)

    return {
        command: (offers(command, "") if below else set(),
                  {word for word in offers(command, "-") if OPTION.fullmatch(word)})
        for command, (below, _) in commands.items()
    }


def from_zsh(directory):
    text = (directory / "_handoverctl").read_text()
    common = options_of_zsh(re.search(r"\n  common=\((.*?)\n  \)", text, re.S)[1])
    found = {"": (set(), common | {"--version"}), "session": (set(), {"-h", "--help"}),
             "client": (set(), {"-h", "--help"})}
    if "'(- *)--version[" not in text:
        sys.exit("zsh: no --version")
    body = re.search(r"_handoverctl_command\(\) \{\n.*?\n  case \$1 in\n(.*?)\n  esac", text, re.S)[1]
    for names, block in re.findall(r"^    (\S[^)\n]*)\)\n(.*?)      ;;", body, re.S | re.M):
        for name in names.split(" | "):
            if name != "*":
                found[name.strip("'")] = (set(), common | options_of_zsh(block))
    lists = re.findall(r"commands=\((.*?)\)\n", text, re.S)
    for group, words in zip(("", "client", "kernels", "session"), lists, strict=True):
        found[group][0].update(re.findall(r"""['"](\w+):""", words))
    return found


def options_of_zsh(text):
    """The specifications' names, without what they say and exclude."""
    text = re.sub(r"\[[^\]]*\]\S*|'\([^)]*\)|\"\([^)]*\)", " ", text)
    return set(OPTION.findall(text))


def from_fish(directory, commands):
    found = {command: (set(), set()) for command in commands}
    for line in (directory / "handoverctl.fish").read_text().splitlines():
        if not line.startswith("complete -c handoverctl ") or "__handoverctl_argument" in line:
            continue
        condition = re.search(r"-n '(not )?__handoverctl_at ([^']*)'", line)
        where = set(commands)
        if condition:
            named = {plain or quoted
                     for quoted, plain in re.findall(r'"([^"]*)"|(\S+)', condition[2])}
            if unknown := named - where:
                sys.exit(f"fish: there is no command {unknown}")
            where = where - named if condition[1] else named
        rest = line[condition.end():] if condition else line
        rest = rest.split(" -d ")[0]
        for command in where:
            found[command][1].update("-" + name for name in re.findall(r" -s (\w)", rest))
            found[command][1].update("--" + name for name in re.findall(r" -l ([\w-]+)", rest))
            if word := re.search(r"^ -a (\w+)$", rest):
                found[command][0].add(word[1])
    return found


def compare(shell, offered, commands):
    """Sentences for what is missing or too much."""
    complaints = []
    for command in sorted(commands.keys() | offered.keys()):
        for what, index in (("command", 0), ("option", 1)):
            has = offered.get(command, (set(), set()))[index]
            must = commands.get(command, (set(), set()))[index]
            for word in sorted(must - has):
                complaints.append(f"{shell}: 'handoverctl {command}': no {what} {word}")
            for word in sorted(has - must):
                complaints.append(f"{shell}: 'handoverctl {command}': there is no {what} {word}")
    return complaints


# Whoever may make a session, a client or a machine chooses its name.
HOSTILE = "$(>x)`>y`; >z"
NAMES_FOR_BASH = """
source "$1"; source "$2"; hostile=$3; shift 3
handoverctl() { printf '    "name": "%s",\n' "$hostile"; }
machinectl() { printf '%s\n' "$hostile"; }
_handover_client_names() { printf '%s\n' "$hostile"; }
COMP_WORDS=("$@" ""); COMP_CWORD=$#; COMPREPLY=()
if [[ $1 == handoverctl ]]; then _handoverctl; else _handover_client "$1" "" "${*: -1}"; fi
printf '%s\n' "${COMPREPLY[@]}"
"""


def hostile_names(directory):
    """Sentences for names that bash does not offer as the one word that they are, or that it runs."""
    files = [directory / "ctl" / "handoverctl.bash", directory / "common" / "handover-clients.bash"]
    complaints = []
    for line in ("handoverctl sessions", "handoverctl session finish", "handoverctl -M",
                 "handoverctl session create --client", "handoverctl client unregister",
                 "handover-memfd status --name", "handover-vmm status"):
        # Of machinectl's lines the first column counts.
        expected = HOSTILE.split()[0] if line.endswith("-M") else HOSTILE
        with tempfile.TemporaryDirectory() as place:
            done = subprocess.run(
                ["bash", "-c", NAMES_FOR_BASH, "bash", *files, HOSTILE, *line.split()],
                check=True, capture_output=True, text=True, cwd=place,
            )
            if made := sorted(path.name for path in Path(place).iterdir()):
                complaints.append(f"bash: '{line} <TAB>' runs what is in a name: it made {made}")
        if done.stderr or shlex.split(done.stdout) != [expected]:
            complaints.append(f"bash: '{line} <TAB>' offers {done.stdout!r} {done.stderr!r}")
    return complaints


def check_shell(shell, directory):
    if not shutil.which(shell):
        sys.exit(77)
    path = directory / "ctl" / ("_handoverctl" if shell == "zsh" else "handoverctl.fish")
    sys.exit(subprocess.run([shell, "-n", path], check=False).returncode)


def main():
    directory, program, *clients = Path(sys.argv[1]), *sys.argv[2:]
    if program in ("zsh", "fish"):
        check_shell(program, directory)
    commands = tree(program)
    if len(commands) < 15 or "--host" not in commands["status"][1]:
        sys.exit(f"the help texts cannot be read: {commands}")
    ctl = directory / "ctl"
    bash = from_bash(ctl / "handoverctl.bash", "_handoverctl", program, commands)
    complaints = (
        compare("bash", bash, commands)
        + compare("zsh", from_zsh(ctl), commands)
        + compare("fish", from_fish(ctl, commands), commands)
    )
    complaints += hostile_names(directory.resolve())
    for client in clients:
        below = {word: (inner, {name for name in options if name.startswith("--")})
                 for word, (inner, options) in tree(client).items()}
        offered = from_bash(
            directory / "common" / "handover-clients.bash", "_handover_client", client, below)
        complaints += compare(Path(client).name, offered, below)
    print("\n".join(complaints))
    sys.exit(1 if complaints else 0)


main()
