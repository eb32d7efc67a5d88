"""`POST /tokenize` and `POST /detokenize`."""

from fastapi import APIRouter

from unified_mlx_app.api.deps import ServicesDep
from unified_mlx_app.api.error_schemas import documented_errors
from unified_mlx_app.api.message_schemas import to_internal_messages
from unified_mlx_app.api.policies import needs
from unified_mlx_app.api.tokenize_schemas import DetokenizedText, DetokenizeRequest, TokenizeRequest, Tokens
from unified_mlx_app.services.generation import ChatPrompt

router = APIRouter(tags=["Tokens"])


@router.post("/tokenize", summary="Count and show tokens", responses=documented_errors(404))
@needs("infer")
async def tokenize(body: TokenizeRequest, services: ServicesDep) -> Tokens:
    """The tokens of a text, or of a conversation as the model's chat template writes it."""
    with_strings = bool(body.return_token_strs)
    if body.messages is None:
        tokenized = await services.tokenization.tokenize_text(
            body.model, body.prompt or "", add_special_tokens=body.add_special_tokens is not False, with_strings=with_strings
        )
    else:
        use = body.tool_use()
        tokenized = await services.tokenization.tokenize_conversation(
            body.model,
            ChatPrompt(to_internal_messages(body.messages), dict(body.chat_template_kwargs or {})),
            tools=use.for_template() if use else None,
            is_prompt=body.add_generation_prompt is not False,
            with_strings=with_strings,
        )
    return Tokens(
        count=len(tokenized.token_ids),
        max_model_len=tokenized.max_context_tokens,
        tokens=tokenized.token_ids,
        token_strs=tokenized.token_strings,
    )


@router.post("/detokenize", summary="Show the text of tokens", responses=documented_errors(404))
@needs("infer")
async def detokenize(body: DetokenizeRequest, services: ServicesDep) -> DetokenizedText:
    """The text of tokens, control tokens included."""
    return DetokenizedText(prompt=await services.tokenization.detokenize(body.model, body.tokens))
