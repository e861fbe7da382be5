"""One HTML file about a finished training: curves, metrics, errors, and what the head saw."""

from .writing import write_report

__all__ = ['write_report']
