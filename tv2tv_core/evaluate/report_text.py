"""The report's figures as Markdown for people; the pictures lie beside it in the same folder."""

from __future__ import annotations

from typing import Any

CODEC_LPIPS, CODEC_PSNR = 0.15, 24  # what the codec is meant to reach, at most and at least
_SPLITS = {"heldout": "held-out episodes", "heldout_map": "held-out map"}


def markdown(result: dict[str, Any]) -> str:
    """The text of `report.md` from what `report.json` holds."""
    settings = ", ".join(f"{name} {value:g}" for name, value in result["settings"].items())
    parts = [
        f"# Report on preset `{result['preset']}`",
        f"Weights `{result['model_hash'][:12]}`, {settings}. Made in {result['minutes']} minutes. "
        "All recordings are ones that training never saw; LPIPS: 0 is the same picture, lower is better.",
        _codec(result["codec"]),
        _prediction(result["prediction"]),
        _rollouts(result["rollouts"]),
        _steering(result["steering"]),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _codec(found: dict[str, Any]) -> str:
    if not found:
        return ""
    rows = ["| recordings | " + " | ".join(next(iter(found.values()))) + " |"]
    rows.append("|---" * (1 + len(next(iter(found.values())))) + "|")
    for split, scores in found.items():
        cells = (f"{score['mean']:.3f} ({score['low']:.3f} … {score['high']:.3f})" for score in scores.values())
        rows.append(f"| {_SPLITS[split]} | {' | '.join(cells)} |")
    return "\n".join(
        [
            "## Codec alone",
            "",
            f"Mean over chunks (10 % … 90 %); meant are LPIPS ≤ {CODEC_LPIPS}, PSNR ≥ {CODEC_PSNR} dB.",
            "",
            *rows,
            "",
            "![true frames above the same frames encoded and decoded](codec.png)",
        ]
    )


def _prediction(found: dict[str, Any]) -> str:
    lines = ["## Prediction from true history", ""]
    for split, table in found.items():
        cells = {(s["predictor"], s["horizon"], s["metric"]): s["mean"] for s in table["scores"]}
        rivals = [name for name in dict.fromkeys(key[0] for key in cells) if name != "model"]
        horizons = list(dict.fromkeys(key[1] for key in cells))
        verdicts = (
            f"{h} ahead: {cells['model', h, 'lpips']:.3f} against {min(cells[r, h, 'lpips'] for r in rivals):.3f}, "
            + ("better than both" if _beats(cells, rivals, h) else "**not better than both**")
            for h in horizons
        )
        lines += [
            f"### {_SPLITS[split].capitalize()}",
            "",
            f"{table['windows']} windows of {table['episodes']} episodes, {table['context']} true chunks before each. "
            f"LPIPS of the model against the better of the two trivial predictors: {'; '.join(verdicts)}.",
            "",
            table["table"],
            "",
        ]
    return "\n".join([*lines, "![true futures above predicted ones](prediction.png)"])


def _beats(cells: dict[tuple[str, int, str], float], rivals: list[str], horizon: int) -> bool:
    return all(cells["model", horizon, "lpips"] < cells[rival, horizon, "lpips"] for rival in rivals)


def _rollouts(found: dict[str, Any]) -> str:
    if not found:
        return "## Roll-outs\n\nThe held-out episodes have no stretch without a cut that is long enough."
    plan = found["plan"]
    valid = "no line was written" if plan["valid_share"] is None else f"{plan['valid_share']:.0%} can be read as one"
    seconds = len(next(iter(found["drift"].values())))
    rows = [f"| second | {' | '.join(str(number + 1) for number in range(seconds))} |", "|---" * (seconds + 1) + "|"]
    rows += [f"| {name} | {' | '.join(f'{v:.2f}' for v in values)} |" for name, values in found["drift"].items()]
    return "\n".join(
        [
            "## Roll-outs: the model plans and acts by itself",
            "",
            f"{found['clips']} clips of {found['seconds']:g} s. Of {plan['written']} plan lines written, {valid} "
            f"({plan['canonical']} in canonical form, {plan['distinct']} different ones). Before "
            f"{plan['straight_share']:.0%} of the chunks BOF came straight away; in recordings "
            f"{found['repeated_in_recordings']:.0%} of the chunks keep the plan.",
            "",
            "How the frames look, divided by real play from the same moments (1 = alike):",
            "",
            *rows,
            "",
            "![roll-outs, real play above the model](rollouts.png)",
        ]
    )


def _steering(found: dict[str, Any]) -> str:
    rows = ["| held for | followed | 95 % interval | chance | left out |", "|---" * 5 + "|"]
    rows += [
        f"| {s['horizon']} chunks | {s['correct']} of {s['trials']} = {s['share']:.0%} "
        f"| {s['low']:.0%} … {s['high']:.0%} | {s['chance']:.0%} | {s['left_out']} |"
        for s in found["scores"]
    ]
    return "\n".join(
        [
            "## Steering",
            "",
            f"From {len(found['moments'])} moments, each of {len(found['lines'])} lines is held on every chunk. It "
            "counts as followed when the nearest of all their true futures (LPIPS) is that of the line. Left out are "
            "lines whose true future there looks like another line's.",
            "",
            *rows,
            "",
            *_followed(found),
            "",
            "![the model above the true future, from four starts](steering.png)",
        ]
    )


def _followed(found: dict[str, Any]) -> list[str]:
    """Per line: how often it was followed after the longest time, and what it was taken for most often."""
    score = found["scores"][-1]
    rows = [f"| line, held for {score['horizon']} chunks | followed | most often looks like |", "|---|---|---|"]
    for number, (line, counts) in enumerate(zip(score["lines"], score["confusion"], strict=True)):
        if sum(counts):
            likest = score["lines"][max(range(len(counts)), key=counts.__getitem__)]
            rows.append(f"| {line} | {counts[number]} of {sum(counts)} | {likest} |")
    return rows
