"""Tool calls of the history in the form that templates take."""

from typing import Any

from unified_mlx_app.services.chat_messages import to_template_messages

MISTRAL = '{%- if message.tool_calls[0].id | length != 9 %}{{ raise_exception("nine") }}{%- endif %}'


def history(call_id: str, arguments: str = "{}") -> list[dict[str, Any]]:
    call = {"id": call_id, "type": "function", "function": {"name": "look", "arguments": arguments}}
    return [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": call_id, "content": "seen"},
    ]


def test_arguments_are_objects_for_templates_unless_they_are_none() -> None:
    messages = [history("a", arguments)[0] for arguments in ('{"city": "Oslo"}', "not json", "[1]")]

    changed = to_template_messages(messages, template="")

    assert [message["tool_calls"][0]["function"]["arguments"] for message in changed] == [{"city": "Oslo"}, "not json", "[1]"]
    assert messages[0]["tool_calls"][0]["function"]["arguments"] == '{"city": "Oslo"}'


def test_ids_fit_a_template_that_wants_nine_characters() -> None:
    call, result = to_template_messages(history("call_0123456789"), template=MISTRAL)

    assert call["tool_calls"][0]["id"] == result["tool_call_id"]
    assert len(result["tool_call_id"]) == 9
    assert result["tool_call_id"].isalnum()
    assert to_template_messages(history("abcDEF123"), template=MISTRAL)[1]["tool_call_id"] == "abcDEF123"


def test_other_templates_get_the_ids_as_they_are() -> None:
    assert to_template_messages(history("functions.look:0"), template="")[1]["tool_call_id"] == "functions.look:0"
