#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# lint.sh SOURCE: the collection installs, its documentation can be read, and ansible-lint (Debian's) has
# nothing to say. 77 where Ansible is not installed.
set -eu
command -v ansible-galaxy >/dev/null || exit 77
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
export ANSIBLE_COLLECTIONS_PATH="$directory" ANSIBLE_HOME="$directory/home" HOME="$directory/home"
ansible-galaxy collection install -p "$directory" "$1/client/ansible" >/dev/null
for module in preflight record rehearse rollout update; do
  ansible-doc -t module "handover.update.$module" >"$directory/doc"
  grep -q 'EXAMPLES:' "$directory/doc"
  grep -q 'RETURN VALUES:' "$directory/doc"
done
for role in handoverd host; do
  ansible-doc -t role "handover.update.$role" | grep -q 'ENTRY POINT:'
done
ansible-playbook --syntax-check handover.update.rollout -e handover_directory=/nonexistent >/dev/null
command -v ansible-lint >/dev/null || exit 77
cd "$directory/ansible_collections/handover/update"
ansible-lint --offline --nocolor -q
