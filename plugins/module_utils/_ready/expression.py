# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""JMESPath expressions that are validated before they are used. PRIVATE to the collection."""

from __future__ import annotations

import typing as t
from collections.abc import Mapping

from ansible.module_utils.basic import missing_required_lib

from ansible_collections.drystone.platform.plugins.module_utils._errors import InvalidInput
from ansible_collections.drystone.platform.plugins.module_utils._kstatus.common import Status, not_ready, ready

try:
    import jmespath
    from jmespath import exceptions, functions

    HAS_JMESPATH = True
except ImportError:
    HAS_JMESPATH = False


class Expression:
    """A JMESPath expression that is evaluated on an object as true or false."""

    def __init__(self, text: str) -> None:
        if not HAS_JMESPATH:
            raise InvalidInput(missing_required_lib("jmespath", reason="to evaluate expressions"))
        self.text = text
        try:
            self._compiled = jmespath.compile(text)
        except exceptions.JMESPathError as error:
            raise InvalidInput(f"The expression {text!r} is not valid JMESPath: {error}", expression=text) from error
        _check_functions(self._compiled.parsed, text)

    def search(self, value: t.Any) -> t.Any:
        """Return the result of the expression. Raise InvalidInput if it cannot be evaluated on this value."""
        try:
            return self._compiled.search(value)
        except exceptions.JMESPathError as error:
            raise InvalidInput(f"The expression {self.text!r} cannot be evaluated: {_one_line(error)}") from error

    def judge(self, value: t.Any, show: bool = True) -> Status:
        """Return ready if the result of the expression is not null, false, zero or empty."""
        try:
            result = self._compiled.search(value)
        except exceptions.JMESPathError as error:
            # An example is length() of a field that does not exist yet.
            return not_ready(f"expression {self.text} cannot be evaluated: {_one_line(error)}")
        if result:
            return ready(f"expression {self.text} is true")
        return not_ready(f"expression {self.text} returned {_one_line(result) if show else 'a false value'}")


def _check_functions(node: Mapping[str, t.Any], text: str) -> None:
    """Refuse unknown functions and wrong numbers of arguments. JMESPath itself reports them only at the call."""
    if node.get("type") == "function_expression":
        known = functions.Functions.FUNCTION_TABLE
        name, given = node["value"], len(node["children"])
        if name not in known:
            has = ", ".join(sorted(known))
            raise InvalidInput(
                f"The expression {text!r} calls {name}(), which JMESPath does not provide. It provides {has}.",
                expression=text,
            )
        signature = known[name]["signature"]
        variadic = bool(signature) and signature[-1].get("variadic")
        if given < len(signature) or (given > len(signature) and not variadic):
            raise InvalidInput(
                f"The expression {text!r} calls {name}() with {given} arguments; it takes {len(signature)}"
                f"{' or more' if variadic else ''}.",
                expression=text,
            )
    for child in node.get("children") or []:
        if isinstance(child, Mapping):
            _check_functions(child, text)


def _one_line(value: t.Any) -> str:
    text = "null" if value is None else " ".join(str(value).split()) or "''"
    return text if len(text) <= 200 else text[:197] + "..."
