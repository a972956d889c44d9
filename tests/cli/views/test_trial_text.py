"""What was found out, as people read it."""

from __future__ import annotations

from specforge.cli.views.trial_text import trial_lines
from specforge.execution.questions.decoding_findings import Decoded, SearchFindings
from specforge.execution.questions.text_findings import (
    DataFindings,
    DataSource,
    Example,
    LengthBucket,
    RoundTrip,
    SideFigures,
    TokenizerFindings,
)
from specforge.execution.questions.training_findings import (
    BatchFigures,
    CriterionFindings,
    ModelFindings,
    ModelPart,
    OptimizerFindings,
    Plateau,
    RatePoint,
    SchedulerFindings,
)
from specforge.execution.questions.trial_results import Findings, Trial
from specforge.planning.estimates import Spread

SAMPLE = DataSource(prepared=False, rows=4_000, lines=29_000, whole=False, tokenizer="sample")
BATCH = BatchFigures(items=1, lengths={"source": 9, "target": 11}, target_tokens=1_997, device="cpu")


def shown(component: str, findings: Findings, data: DataSource | None = SAMPLE) -> str:
    trial = Trial(component=component, identity=["acme/x@2"], data=data, warnings=[], findings=findings)
    return "\n".join(trial_lines(trial))


def test_the_model() -> None:
    findings = ModelFindings(
        batch=BATCH,
        parts=[
            ModelPart(name="encoder", parameters=1_200, trainable=1_200, gradient=0.5),
            ModelPart(name="table", parameters=64, trainable=0, gradient=None),
        ],
        idle=["encoder.x"],
        loss=9.4,
        nll=9.2,
        uniform=8.987,
        forward_ms=1_234.56,
        backward_ms=2.0,
        repeats=3,
        target_tokens_per_second=1_614.0,
        memory=3 << 20,
        decoding_difference=2e-6,
        padding_difference=0.0,
    )

    assert """\
model        acme/x@2
data         a sample: 4,000 of 29,000 training lines; figures are ≈; the tokenizer learned from them
batch        1 item, padded to source 9, target 11; 1,997 target tokens; on cpu
first loss   9.400; 9.200 without smoothing; a uniform guess has 8.987
forward      1,234.6 ms
backward     2.0 ms (medians of 3)
speed        1,614 target tokens/s, without the optimizer
memory       3.0 MiB more at most
decoding     step by step as in training: log-probabilities differ by 2e-06 at most
neighbours   in a batch change nothing: log-probabilities differ by 0 at most

part      parameters   gradient norm
encoder   1,200        0.5
table     64           64 frozen
in all    1,264

no gradient   encoder.x""" == shown("model", findings)


def test_the_data() -> None:
    findings = DataFindings(
        read=10,
        kept=8,
        left_out={"too_long": 1, "empty": 1},
        valid=2,
        rows_per_second=1e5,
        cut_rows_per_second=2e4,
        updates=3,
        epoch=True,
        items_per_update=Spread(mean=2.5, most=3),
        target_tokens_per_update=Spread(mean=20.0, most=24),
        micro_batches_per_update=Spread(mean=1.5, most=2),
        padding=0.034,
        batches_per_second=500.0,
        items_per_second=1_000.0,
        target_tokens_per_second=9_000.0,
        lengths=[LengthBucket(shortest=1, longest=8, items={"source": 8, "target": 2})],
        examples=[Example(pieces={"source": ["a\x1b", "b"], "target": []})],
    )
    source = SAMPLE.model_copy(update={"prepared": True})

    assert """\
task        acme/x@2
data        the result of preprocess
items       8 of 10 to train on, 2 to validate with
left out    1 over max_length; 1 an empty side
updates     3: an epoch of these data
an update   2.5 (at most 3) items, 20.0 (at most 24) target tokens, 1.5 (at most 2) micro-batches
padding     3.4% of the places in batches
reading     100,000 lines/s from the text
cutting     20,000 lines/s in each of the `run.workers` of preprocess
batching    500 batches/s, 1,000 items/s, 9,000 target tokens/s

tokens   source     target
1–8      100.00 %   25.00 %

source   a\\x1b b
target""" == shown("data", findings, source)


def test_a_line_that_does_not_come_back_shows_its_spaces() -> None:
    side = SideFigures(
        split="train", role="source", lines=2, words=0, tokens=0, characters=4, unknown=0, changed=1, longest=0, longest_line=1
    )  # fmt: skip
    trip = RoundTrip(split="train", role="source", line=7, text="x" * 40 + "1\xa0m", back="x" * 40 + "1 m")
    findings = TokenizerFindings(
        types={"source": 8, "target": 16}, vocabulary="sample", sides=[side], cuts=[], changed=[trip]
    )

    lines = shown("tokenizer", findings).split("\n")

    assert "vocabulary   16 and 8 types, counted in the lines read here" in lines
    assert (
        "train source   2       none          none               none      1                0 pieces, line 1" in lines
    )
    assert f"train source, line 7   …{'x' * 29}1\\xa0m" in lines
    assert f"comes back as          …{'x' * 29}1 m" in lines


def test_the_schedule_shows_epochs_where_they_are_known() -> None:
    points = [RatePoint(update=1_000, epoch=3, rate=5e-4, what="last")]
    findings = SchedulerFindings(updates=1_000, peak=1e-3, highest=1e-3, points=points, stops=None)
    plain = findings.model_copy(update={"points": [points[0].model_copy(update={"epoch": None})]})

    assert "update   epoch   rate     of optimizer.lr\n1,000    3       0.0005   50.0%             last" in shown(
        "lr_scheduler", findings
    )
    assert "update   rate     of optimizer.lr\n1,000    0.0005   50.0%             last" in shown("x", plain, None)


def test_the_schedule_says_what_validation_does_to_it() -> None:
    points = [RatePoint(update=1, epoch=None, rate=1e-3, what="first")]
    findings = SchedulerFindings(
        updates=1_000,
        peak=1e-3,
        highest=1e-3,
        points=points,
        stops=None,
        plateau=Plateau(validations=3, factor=0.1),
    )

    text = shown("lr_scheduler", findings)

    assert "3 validations in a row without a better `train.best_metric`: the rate is multiplied by 0.1\n" in text


def test_the_others() -> None:
    criterion = CriterionFindings(
        batch=BATCH, loss=9.1, nll=9.0, uniform=8.9, count=1_997, gradient=2.0, halves_difference=1e-7
    )
    optimizer = OptimizerFindings(
        batch=BATCH, lr=1e-3, losses=[2, 1], moved=1.0, change=0.01, state=1 << 20, update_ms=3.0
    )
    line = Decoded(source="a\nb", hypothesis="c", reference="d", score=-1.5)
    search = SearchFindings(weights="first", lines=[line], sentences_per_second=2.0, pieces=3)

    assert "value        9.100 for each of 1,997 targets" in shown("criterion", criterion)
    assert "loss           2.000 1.000\n" in shown("optimizer", optimizer)
    assert "source      a\\nb\noutput      c\nreference   d\nscore       -1.500" in shown("generate.search", search)
