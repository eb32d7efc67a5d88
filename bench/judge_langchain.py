"""Uses a server through LangChain as an application would; started by `conformance.py` in an environment that has LangChain.

Prints what failed as one JSON object, empty when nothing did.
"""

import json
import sys
from collections.abc import Callable
from typing import Literal

from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, Field


class Pet(BaseModel):
    """A pet."""

    kind: Literal["cat", "dog"]
    age: int = Field(ge=1, le=99)


@tool
def keep(kind: Literal["cat", "dog"]) -> str:
    """Keep a pet."""
    return f"kept a {kind}"


def chat(model: ChatOpenAI) -> None:
    answer = model.invoke("Hello")
    assert answer.content
    assert answer.usage_metadata["output_tokens"] > 0


def stream(model: ChatOpenAI) -> None:
    chunks = list(model.stream("Hello"))
    assert len(chunks) > 2, "all came at once"
    assert "".join(chunk.text for chunk in chunks) == model.invoke("Hello").text, "the pieces are not the whole answer"


def tools(model: ChatOpenAI) -> None:
    bound = model.bind_tools([keep], tool_choice="keep", strict=True)
    answer = bound.invoke("Keep my pet.")
    (call,) = answer.tool_calls
    assert call["name"] == "keep"
    told = ToolMessage(keep.invoke(call["args"]), tool_call_id=call["id"])
    assert isinstance(model.bind_tools([keep]).invoke([HumanMessage("Keep my pet."), answer, told]), AIMessage)


def structured_output(model: ChatOpenAI) -> None:
    for method in ("json_schema", "function_calling"):
        pet = model.with_structured_output(Pet, method=method, strict=True).invoke("Describe a pet.")
        assert isinstance(pet, Pet), method


def main() -> None:
    url, name = sys.argv[1:]
    model = ChatOpenAI(
        base_url=f"{url}/v1", model=name, api_key="unused", temperature=0, max_completion_tokens=200, max_retries=0
    )
    steps: list[Callable[[ChatOpenAI], None]] = [chat, stream, tools, structured_output]
    problems: dict[str, str] = {}
    for step in steps:
        try:
            step(model)
        except Exception as error:  # Whatever another library raises is what this one is here to tell.
            problems[step.__name__] = f"{type(error).__name__} {error}"
    print(json.dumps(problems))


if __name__ == "__main__":
    main()
