"""The shape of a request to the Messages API: the types of anthropic 2.12, in which an unknown field is refused."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, StringConstraints

Effort = Literal["low", "medium", "high", "xhigh", "max"]
MediaType = Literal["image/jpeg", "image/png", "image/gif", "image/webp"]
CallId = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9_-]+$")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class CacheControl(_Part):
    type: Literal["ephemeral"]
    ttl: Literal["5m", "1h"] = "5m"


class _Block(_Part):
    cache_control: CacheControl | None = None


class TextBlock(_Block):
    type: Literal["text"]
    text: str
    citations: list[Any] | None = None


class Base64Source(_Part):
    type: Literal["base64"]
    media_type: MediaType
    data: str


class UrlSource(_Part):
    type: Literal["url"]
    url: str


class ImageBlock(_Block):
    type: Literal["image"]
    source: Annotated[Base64Source | UrlSource, Discriminator("type")]
    transformations: dict[str, Literal["downsize", "error"]] | None = None


class ToolUseBlock(_Block):
    type: Literal["tool_use"]
    id: CallId
    name: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    input: dict[str, Any]
    caller: dict[str, Any] | None = None


class ToolResultBlock(_Block):
    type: Literal["tool_result"]
    tool_use_id: CallId
    content: str | list[Annotated[TextBlock | ImageBlock, Discriminator("type")]] = ""
    is_error: bool = False


class ThinkingBlock(_Part):
    type: Literal["thinking"]
    thinking: str
    signature: str


class RedactedThinkingBlock(_Part):
    type: Literal["redacted_thinking"]
    data: str


Block = TextBlock | ImageBlock | ToolUseBlock | ToolResultBlock | ThinkingBlock | RedactedThinkingBlock
Blocks = list[Annotated[Block, Discriminator("type")]]


class InputMessage(_Part):
    role: Literal["user", "assistant", "system"]
    content: str | Blocks

    @property
    def blocks(self) -> list[Block]:
        """Return the content as blocks: a string stands for one of text."""
        return [TextBlock(type="text", text=self.content)] if isinstance(self.content, str) else list(self.content)


class ToolParam(_Block):
    name: Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9_-]{1,128}$")]
    input_schema: dict[str, Any]
    description: str | None = None
    type: Literal["custom"] | None = None
    strict: bool | None = None
    defer_loading: bool | None = None
    eager_input_streaming: bool | None = None
    allowed_callers: list[str] | None = None
    input_examples: list[dict[str, Any]] | None = None


class AutoChoice(_Part):
    type: Literal["auto"]
    disable_parallel_tool_use: bool = False


class AnyChoice(_Part):
    type: Literal["any"]
    disable_parallel_tool_use: bool = False


class NamedChoice(_Part):
    type: Literal["tool"]
    name: str
    disable_parallel_tool_use: bool = False


class NoneChoice(_Part):
    type: Literal["none"]


Display = Literal["summarized", "omitted"]


class AdaptiveThinking(_Part):
    type: Literal["adaptive"]
    display: Display | None = None


class EnabledThinking(_Part):
    type: Literal["enabled"]
    budget_tokens: int = Field(ge=1_024)
    display: Display | None = None


class DisabledThinking(_Part):
    type: Literal["disabled"]


class BetweenToolsThinking(_Part):
    type: Literal["between_tools"]


class OutputFormat(_Part):
    type: Literal["json_schema"]
    schema_: dict[str, Any] = Field(alias="schema")


class OutputConfig(_Part):
    effort: Effort | None = None
    format: OutputFormat | None = None


class Metadata(_Part):
    user_id: str | None = None


class MessagesRequest(_Part):
    """The body of a request. `temperature`, `top_p` and `top_k` are fields of older versions of the API alone."""

    model: str
    max_tokens: int = Field(ge=1)
    messages: list[InputMessage]
    system: str | list[TextBlock] = ""
    stream: bool = False
    stop_sequences: list[str] = []
    temperature: float | None = Field(default=None, ge=0, le=1)
    top_p: float | None = Field(default=None, ge=0, le=1)
    top_k: int | None = Field(default=None, ge=0)
    tools: list[ToolParam] = []
    tool_choice: Annotated[AutoChoice | AnyChoice | NamedChoice | NoneChoice, Discriminator("type")] | None = None
    thinking: (
        Annotated[AdaptiveThinking | EnabledThinking | DisabledThinking | BetweenToolsThinking, Discriminator("type")]
        | None
    ) = None
    output_config: OutputConfig = OutputConfig()
    service_tier: Literal["auto", "standard_only"] = "auto"
    metadata: Metadata | None = None
    cache_control: CacheControl | None = None
    container: Any = None
    diagnostics: dict[str, Any] | None = None
    inference_geo: str | None = None
    speed: Literal["standard"] | None = None

    @property
    def system_blocks(self) -> list[TextBlock]:
        if not isinstance(self.system, str):
            return list(self.system)
        return [TextBlock(type="text", text=self.system)] if self.system else []

    @property
    def effort(self) -> Effort | None:
        return self.output_config.effort
