"""How each model accepts thinking and effort, and how many tokens it then thinks.

From Anthropic's pages on Claude 5.5 and on extended thinking, read 2026-11-30.
"""

from __future__ import annotations

from typing import Final

from cluster.lab.emulator.chat.anthropic.checks import AnthropicRefusal
from cluster.lab.emulator.chat.anthropic.request_schema import (
    AnyChoice,
    BetweenToolsThinking,
    DisabledThinking,
    EnabledThinking,
    MessagesRequest,
    NamedChoice,
)
from cluster.lab.emulator.core.model_rules import EffortLevel, ModelRules

BUDGETS: Final = "thinking_budgets"
"""The flag of an older model: it thinks only with a budget, and has no effort."""
ALWAYS_ON: Final = "thinking_always_on"
BETWEEN_TOOLS: Final = "between_tools"
NO_FORCED_TOOLS: Final = "no_forced_tools"


def check_thinking(request: MessagesRequest, rules: ModelRules) -> None:
    """Raise AnthropicRefusal for thinking, effort or a choice of tools that the model does not accept."""
    if not rules.name:
        return
    _check_type(request, rules)
    _check_effort(request, rules)
    forced = isinstance(request.tool_choice, AnyChoice | NamedChoice)
    if forced and NO_FORCED_TOOLS in rules.flags:
        raise AnthropicRefusal('tool_choice: type "tool" and "any" are not supported for this model.')
    if forced and isinstance(request.thinking, EnabledThinking):
        raise AnthropicRefusal("Thinking may not be enabled when tool_choice forces tool use.")


def thought_tokens(request: MessagesRequest, rules: ModelRules) -> int:
    """Return the tokens that the emulated model spends on thinking before it answers."""
    thinking = request.thinking
    if isinstance(thinking, DisabledThinking | BetweenToolsThinking):
        return 0
    if BUDGETS in rules.flags:
        return thinking.budget_tokens // 4 if isinstance(thinking, EnabledThinking) else 0
    return rules.thinking_tokens(request.effort)


def _check_type(request: MessagesRequest, rules: ModelRules) -> None:
    thinking = request.thinking
    if thinking is None:
        return
    budgets = BUDGETS in rules.flags
    if isinstance(thinking, EnabledThinking):
        if not budgets:
            raise AnthropicRefusal(
                '"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive" and'
                ' "output_config.effort" to control thinking behavior.'
            )
        if thinking.budget_tokens >= request.max_tokens:
            raise AnthropicRefusal("`max_tokens` must be greater than `thinking.budget_tokens`.")
    elif isinstance(thinking, DisabledThinking):
        _check_disabled(request, rules)
    elif isinstance(thinking, BetweenToolsThinking):
        if BETWEEN_TOOLS not in rules.flags:
            raise AnthropicRefusal('"thinking.type.between_tools" is not supported for this model.')
        _check_effort_below(request, "between_tools")
    elif budgets:
        raise AnthropicRefusal("adaptive thinking is not supported on this model")


def _check_disabled(request: MessagesRequest, rules: ModelRules) -> None:
    if BETWEEN_TOOLS in rules.flags:
        raise AnthropicRefusal(
            'To turn thinking off on this model, send "thinking": {"type": "between_tools"} instead of'
            ' {"type": "disabled"}.'
        )
    if ALWAYS_ON in rules.flags:
        raise AnthropicRefusal('"thinking.type.disabled" is not supported for this model.')
    if BUDGETS not in rules.flags:
        _check_effort_below(request, "disabled")


def _check_effort_below(request: MessagesRequest, kind: str) -> None:
    if request.effort in ("xhigh", "max"):
        raise AnthropicRefusal(f'"thinking.type.{kind}" is not supported at the effort "{request.effort}".')


def _check_effort(request: MessagesRequest, rules: ModelRules) -> None:
    effort: EffortLevel | None = request.effort
    if effort is None:
        return
    if BUDGETS in rules.flags or rules.thinking is None:
        raise AnthropicRefusal("This model does not support the effort parameter.")
    if effort not in rules.thinking.efforts:
        raise AnthropicRefusal(f"This model does not support effort level '{effort}'.")
