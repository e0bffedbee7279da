"""Methods whose parameters are declared by a TypedDict.

A method is written with ``**options: Unpack[SendOptions]``, which type checkers and editors understand. Its decorator gives it
the parameters that the TypedDict names: ``inspect.signature`` shows all of them, and an argument that does not exist raises a
``TypeError`` at the call. As ``dataclasses`` does, it compiles a function from text, so that Python itself binds the arguments.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar, cast

from agentnet._completion import Outcome, completion
from agentnet._options import IF_LEFT_OUT, KEYWORD_ONLY

F = TypeVar("F", bound=Callable[..., Any])
P = ParamSpec("P")
T = TypeVar("T")


def expand_options(**defaults: Any) -> Callable[[F], F]:
    """A decorator that replaces a function's ``**options: Unpack[…]`` by the parameters of that TypedDict. A function that
    returns a ``Coroutine[Any, Any, T]`` becomes a coroutine function.

    The options follow the function's own parameters, as keyword-only parameters. If the function has a ``*positional``, which
    stays empty, they can also be given by position, and its keyword-only parameters follow them; those of ``KEYWORD_ONLY``
    come last, and by name only. ``defaults`` has the defaults that are not None. The function gets only the options that
    differ from their meaning if left out.
    """

    def expand(function: F) -> F:
        return cast(F, _expanded(function, defaults))

    return expand


def native_call(function: Callable[P, Outcome[T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """A decorator that does the same for a function that starts a call of the native part, and makes it a coroutine function
    that waits for the outcome. One coroutine does both: that saves time in the calls that are made most often."""
    return cast("Callable[P, Coroutine[Any, Any, T]]", _expanded(function, {}))


_TEMPLATE = """
def make(_function, _defaults, _completion):
    {keyword} {name}({parameters}):
        if {nothing_given}:
            {result} _function({own})
        else:
            _options = {{{always}}}
{sometimes}
            {result} _function({own}, **_options)
{finish}
    return {name}
"""
_FINISH = """
        if _outcome.__class__ is tuple:
            return _outcome[0]
        return await _completion(_outcome)
"""


def _expanded(function: Any, defaults: dict[str, Any]) -> Any:
    own, keyword_only, options, by_position = _parameters(function, defaults)
    by_name = [one for one in options if one.name in KEYWORD_ONLY] if by_position else [*keyword_only, *options]
    if by_position:
        positional = [*own, *(one for one in options if one.name not in KEYWORD_ONLY), *keyword_only]
    else:
        positional = own
    ordered = [*positional, *by_name]
    parameters = [_declaration(one) for one in ordered]
    if by_name:
        parameters.insert(len(positional), "*")
    # An option with another default is always passed: None is a value of it, and may be a wrong one.
    optional = [one.name for one in options if one.default is IF_LEFT_OUT.get(one.name)]
    always = [one.name for one in options if one.name not in optional]
    returned, starts, is_awaited = _returned(function)
    source = _TEMPLATE.format(
        keyword="async def" if starts or is_awaited else "def",
        name=function.__name__,
        parameters=", ".join(parameters),
        nothing_given="False" if always else " and ".join(f"{name} is {IF_LEFT_OUT.get(name)}" for name in optional),
        result="_outcome =" if starts else "return await" if is_awaited else "return",
        own=", ".join([one.name for one in own] + [f"{one.name}={one.name}" for one in keyword_only]),
        always=", ".join(f"{name!r}: {name}" for name in always),
        sometimes="\n".join(
            f"            if {name} is not {IF_LEFT_OUT.get(name)}: _options[{name!r}] = {name}" for name in optional
        ),
        finish=_FINISH if starts else "",
    )
    made: dict[str, Any] = {}
    # In the namespace of the function's module, in which its annotations are evaluated.
    exec(compile(source, f"<options of {function.__qualname__}>", "exec"), function.__globals__, made)
    expanded = made["make"](function, {one.name: one.default for one in ordered}, completion)
    expanded.__module__ = function.__module__
    expanded.__qualname__ = function.__qualname__
    expanded.__doc__ = function.__doc__
    annotations = {one.name: one.annotation for one in ordered if one.annotation is not one.empty}
    expanded.__annotations__ = annotations | {"return": returned}
    return expanded


def _returned(function: Any) -> tuple[str, bool, bool]:
    """What a call gives, awaited; whether the function gives an ``Outcome`` of it, or something to await."""
    annotation: str = function.__annotations__["return"]
    for prefix, starts in (("Outcome[", True), ("Coroutine[Any, Any, ", False)):
        if annotation.startswith(prefix):
            return annotation[len(prefix) : -1], starts, not starts
    return annotation, False, inspect.iscoroutinefunction(function)


_Parameters = list[inspect.Parameter]


def _parameters(function: Any, defaults: dict[str, Any]) -> tuple[_Parameters, _Parameters, _Parameters, bool]:
    """A function's own parameters, those that are keyword-only, those of its options, and whether the options can be given
    by position."""
    own: _Parameters = []
    keyword_only: _Parameters = []
    options: _Parameters = []
    by_position = False
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind is parameter.VAR_POSITIONAL:
            by_position = True
        elif parameter.kind is parameter.VAR_KEYWORD:
            options = _options(function.__globals__[parameter.annotation[len("Unpack[") : -1]], defaults)
        elif parameter.kind is parameter.KEYWORD_ONLY:
            keyword_only.append(parameter)
        else:
            own.append(parameter)
    return own, keyword_only, options, by_position


def _options(declared: Any, defaults: dict[str, Any]) -> _Parameters:
    """The keys of a TypedDict as parameters; those of its bases come first."""
    return [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=defaults.get(name, IF_LEFT_OUT.get(name)),
            # The text of the annotation.
            annotation=annotation.__forward_arg__,
        )
        for name, annotation in declared.__annotations__.items()
    ]


def _declaration(parameter: inspect.Parameter) -> str:
    if parameter.default is parameter.empty:
        return parameter.name
    return f"{parameter.name}=_defaults[{parameter.name!r}]"
