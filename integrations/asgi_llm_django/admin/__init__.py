"""The gateway in Django's admin: usage, budgets, keys, prices, and what is stored of conversations.

Pages work under a strict Content-Security-Policy: no scripts, no styles but those in files. No page shows a secret.
"""

from django.contrib import admin

from asgi_llm_django.models import APIKey, Budget, Conversation, Price, Response, Usage

from .budgets import BudgetAdmin
from .keys import APIKeyAdmin
from .prices import PriceAdmin
from .responses import ConversationAdmin, ResponseAdmin
from .usage import UsageAdmin

admin.site.register(APIKey, APIKeyAdmin)
admin.site.register(Budget, BudgetAdmin)
admin.site.register(Conversation, ConversationAdmin)
admin.site.register(Price, PriceAdmin)
admin.site.register(Response, ResponseAdmin)
admin.site.register(Usage, UsageAdmin)
