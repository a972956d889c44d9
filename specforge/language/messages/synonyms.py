"""What other tools call a field, so that who comes from them is told our name for it.

The names are those of fairseq, OpenNMT, JoeyNMT, transformers, PyTorch Lightning and Hydra. They are for advice only: a spec
that uses one is wrong.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

_ELSEWHERE: Final = {
    "task.source": "src src_lang source_lang source_language",
    "task.target": "tgt trg tgt_lang trg_lang target_lang target_language",
    "data.train": "trainpref train_data train_path train_file train_files train_set train_dataset",
    "data.valid": "validpref valid_data val val_data dev dev_data validation validation_data validation_file eval_dataset",
    "data.test": "testpref test_data test_file test_set test_dataset",
    "tokenizer.vocab_size": "vocabulary_size bpe_size num_merges bpe_operations nwords",
    "preprocess.max_length": "max_len max_seq_length max_sequence_length max_sent_length max_tokens_per_sentence",
    "model.embed_dim": (
        "d_model model_dim n_embd emb_dim embedding_dim embedding_size hidden_size word_vec_size encoder_embed_dim "
        "decoder_embed_dim"
    ),
    "model.ffn_dim": (
        "d_ff ff_size dim_feedforward intermediate_size feed_forward_size transformer_ff encoder_ffn_embed_dim "
        "decoder_ffn_embed_dim"
    ),
    "model.attention_heads": (
        "heads nhead nheads n_head n_heads num_heads num_attention_heads encoder_attention_heads decoder_attention_heads"
    ),
    "model.encoder_layers": "num_layers n_layers n_layer num_hidden_layers enc_layers num_encoder_layers",
    "model.decoder_layers": "dec_layers num_decoder_layers",
    "model.dropout": "dropout_rate p_dropout hidden_dropout_prob resid_pdrop",
    "model.attention_dropout": "attention_probs_dropout_prob attn_dropout attn_pdrop",
    "model.activation": "activation_fn activation_function hidden_act",
    "model.share_embeddings": (
        "share_all_embeddings share_decoder_input_output_embed tie_embeddings tied_embeddings tie_word_embeddings"
    ),
    "criterion.label_smoothing": "smoothing label_smooth label_smoothing_factor",
    "optimizer.lr": "learning_rate base_lr peak_lr max_lr",
    "optimizer.betas": "adam_betas",
    "optimizer.eps": "adam_eps adam_epsilon epsilon",
    "optimizer.weight_decay": "wd l2",
    "lr_scheduler.warmup_updates": "warmup warmup_steps warmup_iters num_warmup_steps learning_rate_warmup",
    "train.max_updates": (
        "steps max_steps num_steps total_steps train_steps num_train_steps max_iters iterations total_num_update"
    ),
    "train.max_epochs": "epochs epoch n_epochs num_epochs num_train_epochs",
    "train.batch_sentences": "batch_size max_sentences per_device_train_batch_size",
    "train.batch_tokens": (
        "update_freq accum_count accumulation_steps batch_multiplier gradient_accumulation_steps accumulate_grad_batches"
    ),
    "train.clip_norm": "max_grad_norm grad_clip grad_clip_norm clip_grad_norm gradient_clip gradient_clip_val",
    "train.precision": "fp16 bf16 amp mixed_precision dtype",
    "train.validate_every": (
        "eval_every eval_steps eval_interval valid_steps validation_freq val_check_interval validate_interval "
        "validate_interval_updates"
    ),
    "train.checkpoint_every": "save_every save_steps save_interval save_interval_updates save_checkpoint_steps",
    "train.patience": "early_stopping early_stopping_patience",
    "train.best_metric": "best_checkpoint_metric early_stopping_metric metric_for_best_model",
    "generate.search.beam": "beam_size num_beams beams",
    "generate.search.lenpen": "length_penalty len_pen beam_alpha",
    "generate.metrics": "eval_metrics",
    "run.device": "accelerator use_cuda",
    "run.devices": "gpus num_gpus n_gpus n_gpu world_size nproc_per_node distributed_world_size",
    "run.workers": "num_workers dataset_num_workers",
    "run.profile": "profiler torch_profiler",
    "run.trackers": "loggers logger report_to tensorboard tensorboard_logdir wandb wandb_project mlflow",
    "run.log_every": "log_interval log_freq log_steps logging_steps logging_freq report_every",
    "model": "arch architecture net network",
    "data": "dataset datasets corpus corpora",
    "generate": "decode decoding inference generation testing",
    "train": "trainer training",
    "tokenizer": "bpe subword",
    "criterion": "loss loss_fn",
    "lr_scheduler": "schedule scheduler",
    "run": "hardware distributed runtime",
}

OUR_PATHS: Final = MappingProxyType(
    {name: tuple(path.split(".")) for path, names in _ELSEWHERE.items() for name in names.split()}
)
"""Name of a field or table elsewhere → path of ours."""

NAMES_OF_USE: Final = frozenset({"arch", "architecture", "class", "class_name", "kind", "name", "type", "_target_"})
"""What other tools call the key that picks a component."""

OUR_VALUES: Final = MappingProxyType(
    {
        "bfloat16": "bf16",
        "bpe": "sentencepiece",
        "float32": "fp32",
        "gpu": "cuda",
        "mt": "translation",
        "nmt": "translation",
        "noam": "inverse_sqrt",
        "sacrebleu": "bleu",
        "seq2seq": "translation",
        "spm": "sentencepiece",
        "subword": "sentencepiece",
        "unigram": "sentencepiece",
    }
)
"""What other tools call a component or a choice → our name for it."""
