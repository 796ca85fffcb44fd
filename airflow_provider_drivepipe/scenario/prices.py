"""What tokens cost; pure."""

from __future__ import annotations

from decimal import Decimal

from airflow_provider_drivepipe.contracts import Spending, Tokens
from airflow_provider_drivepipe.scenario.options import PriceOptions

_DIGITS = 6


def cost_of(tokens: Tokens, prices: PriceOptions) -> float:
    """Return what tokens cost, in the currency of the prices; a kind without a price costs nothing."""
    total = sum(
        (
            count * Decimal(str(price))
            for count, price in (
                (tokens.input, prices.input),
                (tokens.output, prices.output),
                (tokens.embedding, prices.embedding),
            )
            if price is not None
        ),
        Decimal(0),
    )
    return float(round(total / prices.per_tokens, _DIGITS))


def spending_of(
    frames: int, video_hours: float | None, tokens: Tokens, prices: PriceOptions | None
) -> Spending:
    """Return what a run had from the models.

    :param frames: rows that models were asked about.
    :param video_hours: hours of video that the frames stand for, None where that is not known.
    """
    total = tokens.input + tokens.output + tokens.embedding
    cost = None if prices is None else cost_of(tokens, prices)
    tokens_per_frames, tokens_per_hour = _per(total, frames / 1000), _per(total, video_hours)
    return Spending(
        frames=frames,
        video_hours=None if video_hours is None else round(video_hours, _DIGITS),
        tokens_per_1000_frames=None if tokens_per_frames is None else round(tokens_per_frames),
        tokens_per_video_hour=None if tokens_per_hour is None else round(tokens_per_hour),
        currency=prices.currency if prices else None,
        cost=cost,
        cost_per_1000_frames=_per(cost, frames / 1000),
        cost_per_video_hour=_per(cost, video_hours),
    )


def _per(amount: float | None, units: float | None) -> float | None:
    return None if amount is None or not units else round(amount / units, _DIGITS)


def spending_text(spending: Spending, rows: str = "rows") -> str:
    """Return one phrase for the log and the terminal: cost where it is known, else tokens; empty for none.

    :param rows: what the rows are, for people.
    """
    if spending.cost is not None:
        figures = [
            (spending.cost, ""),
            (spending.cost_per_1000_frames, f"per 1,000 {rows}"),
            (spending.cost_per_video_hour, "per hour of video"),
        ]
        known = [(n, what) for n, what in figures if n is not None]
        said = [f"{amount_text(n)} {spending.currency} {what}".rstrip() for n, what in known]
    else:
        per_hour = spending.tokens_per_video_hour
        counts = [(spending.tokens_per_1000_frames, f"1,000 {rows}"), (per_hour, "hour of video")]
        said = [f"{n:,} tokens per {what}" for n, what in counts if n is not None]
    return ", ".join(said)


def amount_text(amount: float) -> str:
    """Return an amount for people: two decimals, more for small amounts."""
    return f"{amount:,.2f}" if abs(amount) >= 1 or amount == 0 else f"{amount:.4g}"
