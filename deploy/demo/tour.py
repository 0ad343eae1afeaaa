"""The printed tour: the whole story, address by address, then the same by `curl`."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

# A place that nobody of the demo has signed in from, so that the message has something to be careful about.
_NEW_PLACE = "81.193.12.7"

_STEPS = """\
The story, in a browser
-----------------------
Erin Umbrella lost her phone, has no backup codes left, and somebody has guessed passwords until her account locked.

 1. Erin can't sign in
      {identity}/
      Email     {erin[email]}
      Password  any: it fails. Follow "Can't sign in?" and submit that address with "lost second factor".
 2. The administrators are told
      {mailbox}/?to={admin_address}
      The reference ID, what is known of the account, the attack that is going on, what to do before acting.
 3. An administrator with expert mode sends a recovery code
      {recovery}/console/users
      Email     {expert[email]}
      Password  {expert_password}
      Find Erin, open Actions, "Send Recovery Code Email", choose a reason.
      (As {admin[email]}, {admin_password}, the same menu offers the access email only.)
 4. Erin gets the code
      {mailbox}/?to={erin_address}
 5. Erin uses it, with a reset of the password and the removal of the second factor
      {recovery}/recover
      It leads back to the identity platform: set a new password, scan the new QR code, keep the backup codes.
 6. Erin signs in again
      {identity}/
 7. The compliance team reads the whole story by its reference ID
      {audit}/
      Email     {auditor[email]}
      Password  {auditor_password}
"""

_COMMANDS = """\
The same, by curl
-----------------
# Addresses and tokens are read from {ready_path}, so that no token is printed here.
ready() {{ python3 -c 'import functools, json, sys
value = json.load(open(sys.argv[1]))
print(functools.reduce(lambda part, name: part[name], sys.argv[2].split("."), value))' {ready_path} "$1"; }}
call() {{ role=$1; shift; curl -sS -H "Authorization: Bearer $(ready "tokens.$role")" "$@"; echo; }}
json='Content-Type: application/json'

# Ask for Erin, from a place that is new for her, and keep the reference ID.
call platform "$(ready urls.intake)/v1/assistance-requests" -H "$json" -o request.json \\
  -d '{{"email": "{erin[email]}", "issue": "lost-2fa", "client": {{"ip": "{new_place}", "user_agent": "curl"}}}}'
cat request.json; reference=$(python3 -c 'import json; print(json.load(open("request.json"))["reference_id"])')

# The message that an administrator got, a moment later.
sleep 1; curl -sS "$(ready urls.mailbox)/api/v1/search?query=to:{admin_address}&limit=1" | python3 -m json.tool

# The account as an administrator sees it.
call expert "$(ready urls.recovery)/v1/accounts/{erin[account_id]}" | python3 -m json.tool

# What may be given as a reason; then the recovery code, for the first of them.
call expert "$(ready urls.recovery)/v1/reasons" -o reasons.json
cat reasons.json; reason=$(python3 -c 'import json; print(json.load(open("reasons.json"))[0]["code"])')
call expert "$(ready urls.recovery)/v1/accounts/{erin[account_id]}/recovery-codes" -H "$json" \\
  -d "{{\\"reason\\": \\"$reason\\", \\"reference_id\\": \\"$reference\\"}}"

# The same by somebody without the permission: 403.
call no_permission "$(ready urls.recovery)/v1/accounts/{erin[account_id]}/recovery-codes" -H "$json" \\
  -d "{{\\"reason\\": \\"$reason\\"}}"

# The whole story, as the compliance team reads it.
call auditor "$(ready urls.audit)/v1/references/$reference" | python3 -m json.tool
"""


def render(ready: Mapping[str, Any], ready_path: str = "var/ready.json") -> str:
    """The tour of a running demo as text, from the content of `ready.json`.

    Passwords of the demo's people are in it, tokens are not. With a mail server of one's own there is no mailbox
    page: its steps then say where to look.
    """
    people, urls = ready["people"], ready["urls"]
    mailbox = urls.get("mailbox")
    values = {
        **{name: urls[name] for name in ("identity", "recovery", "audit")},
        "mailbox": mailbox or "(your own mail server)",
        "erin": people["locked_out"],
        "expert": people["expert"],
        "admin": people["admin"],
        "auditor": people["auditor"],
        **{f"{role}_password": _password(people[role]) for role in ("admin", "expert", "auditor")},
        "admin_address": quote(people["admin"]["email"], safe="@"),
        "erin_address": quote(people["locked_out"]["email"], safe="@"),
        "ready_path": shlex.quote(ready_path),
        "new_place": _NEW_PLACE,
    }
    return f"{_STEPS.format(**values)}\n{_COMMANDS.format(**values)}"


def _password(person: Mapping[str, Any]) -> str:
    return "(the one that was set on the platform since)" if person.get("password_changed") else str(person["password"])
