"""A tiny random model of each family of mixtures, and which tokens their routers chose."""

import torch
import transformers

TOKENS, VOCABULARY, WIDTH, EXPERTS = 16, 64, 32, 4
BASE = {
    "hidden_size": WIDTH,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "vocab_size": VOCABULARY,
    "num_attention_heads": 4,
    "pad_token_id": None,
    "eos_token_id": None,
    "bos_token_id": None,
}
GROUPED = {"num_key_value_heads": 2}
LATENT = {
    "n_routed_experts": EXPERTS,
    "moe_intermediate_size": 24,
    "n_shared_experts": 1,
    "first_k_dense_replace": 1,
    "kv_lora_rank": 8,
    "q_lora_rank": 8,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 8,
    "v_head_dim": 8,
    "n_group": 1,
    "topk_group": 1,
    "num_key_value_heads": 4,
}
# Settings of each family beyond the base; top-2 of 4 experts.
FAMILIES = {
    "Mixtral": GROUPED | {"num_local_experts": EXPERTS},
    "Qwen2Moe": GROUPED
    | {"num_experts": EXPERTS, "moe_intermediate_size": 24, "shared_expert_intermediate_size": 16},
    "Qwen3Moe": GROUPED | {"num_experts": EXPERTS, "moe_intermediate_size": 24, "head_dim": 8},
    "Olmoe": GROUPED | {"num_experts": EXPERTS},
    "GptOss": GROUPED | {"num_local_experts": EXPERTS, "head_dim": 8},
    "DeepseekV2": LATENT,
    "DeepseekV3": LATENT,
    "GraniteMoe": GROUPED | {"num_local_experts": EXPERTS},
    "Jamba": GROUPED
    | {
        "num_experts": EXPERTS,
        "attn_layer_period": 2,
        "attn_layer_offset": 1,
        "expert_layer_period": 2,
        "expert_layer_offset": 1,
        "mamba_d_state": 4,
    },
}


def make(family):
    """Return a causal model of a family, in evaluation mode."""
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(
        **BASE | FAMILIES[family], num_experts_per_tok=2
    )
    model = getattr(transformers, f"{family}ForCausalLM")(config).float().eval()
    for name, weight in model.named_parameters():
        if "experts" in name:  # some are made without values
            torch.nn.init.normal_(weight, std=0.1)
    return model


def routed(model, ids):
    """Return what enters each expert, `{layer: rows}`, by a plain loop, and the tokens' numbers."""
    found, calls = {}, []
    modules = {n: m for n, m in model.named_modules() if type(m).__name__.endswith("Experts")}
    hooks = [
        module.register_forward_pre_hook(
            lambda _, args, kwargs, name=name: calls.append((name, [*args, *kwargs.values()])),
            with_kwargs=True,
        )
        for name, module in modules.items()
    ]
    with torch.no_grad():
        model(input_ids=ids)
    for hook in hooks:
        hook.remove()
    for name, (hidden, chosen, *_) in calls:
        module = modules[name]
        for expert in range(EXPERTS):
            tokens = [t for t in range(len(hidden)) if expert in chosen[t].tolist()]
            if not tokens:
                continue
            rows = hidden[tokens].detach()
            weight = module.gate_up_proj[expert].detach()
            up = rows @ (weight if module.is_transposed else weight.T)
            if module.has_bias:
                up = up + module.gate_up_proj_bias[expert].detach()
            inner = module._apply_gate(up)
            found[f"{name}.{expert}.gate_proj"] = tokens, rows
            found[f"{name}.{expert}.up_proj"] = tokens, rows
            found[f"{name}.{expert}.down_proj"] = tokens, inner
    return found
