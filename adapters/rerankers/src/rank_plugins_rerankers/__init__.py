"""rank_plugins inside AnswerDotAI rerankers: importing this module makes `Reranker("rank-maxsim")` work.

`Reranker` is the host's own factory, so `from rerankers import Reranker` gives the same, before or after
this import.
"""

from rank_plugins_rerankers.host import Reranker
from rank_plugins_rerankers.ranker import MaxSimRanker
from rank_plugins_rerankers.registration import register

__all__ = ["MaxSimRanker", "Reranker", "register"]

register()
