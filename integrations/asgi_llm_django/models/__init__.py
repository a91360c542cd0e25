"""What is kept in the project's own database, where ``ASGI_LLM["store"]["url"]`` is ``"django"``.

The tables belong to the gateway: what it writes goes by ``stores/``, in threads of its own. Times are seconds since the
epoch unless something else is said, money is micro-dollars. Ids are unique within their owner only, so that rows have
numbers of their own beside them.
"""

from .budgets import Budget
from .keys import APIKey
from .prices import Price
from .quotas import QuotaHold, QuotaSpent
from .responses import Conversation, ConversationItem, Response, ResponseEvent, ResponseItem
from .signatures import Signature
from .usage import Usage

__all__ = [
    "APIKey",
    "Budget",
    "Conversation",
    "ConversationItem",
    "Price",
    "QuotaHold",
    "QuotaSpent",
    "Response",
    "ResponseEvent",
    "ResponseItem",
    "Signature",
    "Usage",
]
