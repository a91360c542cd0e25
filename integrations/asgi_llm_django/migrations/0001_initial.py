import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Budget",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=128, unique=True)),
                ("active", models.BooleanField(default=True)),
                (
                    "resource",
                    models.CharField(
                        choices=[
                            ("cost", "money"),
                            ("requests", "requests"),
                            ("tokens", "tokens"),
                            ("input_tokens", "tokens of input"),
                            ("output_tokens", "tokens of output"),
                            ("concurrency", "requests at the same time"),
                        ],
                        default="cost",
                        max_length=16,
                        verbose_name="what",
                    ),
                ),
                ("limit", models.BigIntegerField()),
                ("window", models.CharField(blank=True, default="month", max_length=32)),
                ("timezone", models.CharField(default="UTC", max_length=64)),
                ("per", models.JSONField(blank=True, default=list)),
                ("match", models.JSONField(blank=True, default=dict)),
                ("output", models.BigIntegerField(default=4096)),
                (
                    "on_store_failure",
                    models.CharField(
                        choices=[("closed", "requests are refused"), ("open", "requests pass")],
                        default="closed",
                        max_length=8,
                        verbose_name="while the database is down",
                    ),
                ),
                (
                    "unpriced",
                    models.CharField(
                        choices=[("refuse", "are refused"), ("free", "cost nothing")],
                        default="refuse",
                        max_length=8,
                        verbose_name="models of unknown price",
                    ),
                ),
                ("note", models.CharField(blank=True, max_length=255)),
            ],
            options={
                "ordering": ["name"],
            },
        ),
        migrations.CreateModel(
            name="APIKey",
            fields=[
                ("id", models.CharField(max_length=64, primary_key=True, serialize=False)),
                ("digest", models.BinaryField(max_length=32)),
                ("tenant", models.CharField(max_length=255)),
                ("subject", models.CharField(max_length=255)),
                ("name", models.CharField(blank=True, max_length=255)),
                ("roles", models.JSONField(blank=True, default=list)),
                ("endpoints", models.JSONField(blank=True, default=list)),
                ("models", models.JSONField(blank=True, default=list)),
                ("targets", models.JSONField(blank=True, default=list)),
                ("created", models.FloatField()),
                ("expires", models.FloatField(blank=True, null=True)),
                ("revoked", models.FloatField(blank=True, null=True)),
                ("used", models.FloatField(blank=True, null=True)),
                ("replaces", models.CharField(blank=True, max_length=64, null=True)),
            ],
            options={
                "verbose_name": "API key",
                "indexes": [models.Index(fields=["tenant", "-created"], name="asgi_llm_key_tenant")],
            },
        ),
        migrations.CreateModel(
            name="Conversation",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("tenant", models.CharField(max_length=255)),
                ("subject", models.CharField(max_length=255)),
                ("name", models.CharField(max_length=255, verbose_name="id")),
                ("created", models.FloatField()),
                ("expires", models.FloatField(db_index=True)),
                ("length", models.BigIntegerField(default=0)),
                ("data", models.BinaryField()),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("tenant", "subject", "name"), name="asgi_llm_conversation_name")
                ],
            },
        ),
        migrations.CreateModel(
            name="Price",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "rank",
                    models.IntegerField(default=100, help_text="Of several that fit a request, the lowest is taken."),
                ),
                ("model", models.CharField(help_text="The name at the target; * stands for anything.", max_length=255)),
                ("target", models.CharField(default="*", help_text="* stands for anything.", max_length=255)),
                ("since", models.DateField(blank=True, help_text="The first day on which it holds (UTC).", null=True)),
                (
                    "until",
                    models.DateField(blank=True, help_text="The first day on which it holds no more (UTC).", null=True),
                ),
                (
                    "input",
                    models.DecimalField(
                        decimal_places=9, help_text="Dollars for a million tokens, like all that follow.", max_digits=18
                    ),
                ),
                ("output", models.DecimalField(decimal_places=9, max_digits=18)),
                (
                    "cache_read",
                    models.DecimalField(
                        blank=True,
                        decimal_places=9,
                        help_text="Where it is empty, as input; reasoning and audio: as output and input.",
                        max_digits=18,
                        null=True,
                    ),
                ),
                ("cache_write", models.DecimalField(blank=True, decimal_places=9, max_digits=18, null=True)),
                ("cache_write_5m", models.DecimalField(blank=True, decimal_places=9, max_digits=18, null=True)),
                ("cache_write_1h", models.DecimalField(blank=True, decimal_places=9, max_digits=18, null=True)),
                ("reasoning", models.DecimalField(blank=True, decimal_places=9, max_digits=18, null=True)),
                ("audio_in", models.DecimalField(blank=True, decimal_places=9, max_digits=18, null=True)),
                ("audio_out", models.DecimalField(blank=True, decimal_places=9, max_digits=18, null=True)),
                (
                    "request",
                    models.DecimalField(
                        decimal_places=9,
                        default=0,
                        help_text="Dollars for each request, whatever its size.",
                        max_digits=18,
                    ),
                ),
                (
                    "tools",
                    models.JSONField(
                        blank=True, default=dict, help_text='Dollars for each use: {"web_search_requests": 0.01}'
                    ),
                ),
                (
                    "tiers",
                    models.JSONField(
                        blank=True,
                        default=list,
                        help_text='For long inputs: [{"above": 200000, "input": 6, "output": 22.5}]',
                    ),
                ),
                ("note", models.CharField(blank=True, max_length=255)),
            ],
            options={
                "ordering": ["rank", "id"],
                "indexes": [models.Index(fields=["rank"], name="asgi_llm_price_rank")],
            },
        ),
        migrations.CreateModel(
            name="QuotaHold",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("hold", models.CharField(max_length=128)),
                ("account", models.CharField(max_length=320)),
                ("amount", models.BigIntegerField()),
                ("lease", models.FloatField(db_index=True)),
            ],
            options={
                "verbose_name": "quota hold",
                "default_permissions": (),
                "indexes": [models.Index(fields=["account", "lease"], name="asgi_llm_hold_lease")],
                "constraints": [models.UniqueConstraint(fields=("hold", "account"), name="asgi_llm_hold_account")],
            },
        ),
        migrations.CreateModel(
            name="QuotaSpent",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("account", models.CharField(max_length=320)),
                ("slot", models.BigIntegerField()),
                ("amount", models.BigIntegerField()),
                ("keep", models.FloatField(db_index=True)),
            ],
            options={
                "verbose_name": "quota spent",
                "verbose_name_plural": "quotas spent",
                "default_permissions": (),
                "constraints": [models.UniqueConstraint(fields=("account", "slot"), name="asgi_llm_spent_slot")],
            },
        ),
        migrations.CreateModel(
            name="Response",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("tenant", models.CharField(max_length=255)),
                ("subject", models.CharField(max_length=255)),
                ("name", models.CharField(max_length=255, verbose_name="id")),
                ("created", models.FloatField()),
                ("expires", models.FloatField(db_index=True)),
                ("status", models.CharField(max_length=16)),
                ("parent", models.CharField(blank=True, max_length=255, null=True)),
                ("conversation", models.CharField(blank=True, max_length=255, null=True)),
                ("lease", models.FloatField(default=0.0)),
                ("data", models.BinaryField()),
            ],
            options={
                "indexes": [
                    models.Index(fields=["status", "lease"], name="asgi_llm_response_lease"),
                    models.Index(fields=["created"], name="asgi_llm_response_created"),
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("tenant", "subject", "name"), name="asgi_llm_response_name")
                ],
            },
        ),
        migrations.CreateModel(
            name="Signature",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("tenant", models.CharField(max_length=255)),
                ("subject", models.CharField(max_length=255)),
                ("call", models.CharField(max_length=255)),
                ("expires", models.FloatField(db_index=True)),
                ("data", models.BinaryField()),
            ],
            options={
                "default_permissions": (),
                "constraints": [
                    models.UniqueConstraint(fields=("tenant", "subject", "call"), name="asgi_llm_signature_call")
                ],
            },
        ),
        migrations.CreateModel(
            name="Usage",
            fields=[
                ("id", models.CharField(max_length=255, primary_key=True, serialize=False)),
                ("at", models.BigIntegerField()),
                ("day", models.DateField()),
                ("tenant", models.TextField()),
                ("subject", models.TextField()),
                ("key_id", models.CharField(blank=True, max_length=255, null=True)),
                ("endpoint", models.CharField(max_length=255)),
                ("dialect", models.CharField(max_length=64)),
                ("upstream_dialect", models.CharField(blank=True, max_length=64, null=True)),
                ("mode", models.CharField(blank=True, max_length=64, null=True)),
                ("stream", models.BooleanField(default=False)),
                ("model", models.TextField(blank=True, null=True)),
                ("served", models.TextField(blank=True, null=True)),
                ("target", models.TextField(blank=True, null=True)),
                ("worker", models.TextField(blank=True, null=True)),
                ("attempts", models.IntegerField(default=0)),
                ("status", models.IntegerField(default=0)),
                ("outcome", models.CharField(max_length=64)),
                ("error", models.TextField(blank=True, null=True)),
                ("finish", models.TextField(blank=True, null=True)),
                ("fresh", models.BigIntegerField(blank=True, null=True)),
                ("cache_read", models.BigIntegerField(blank=True, null=True)),
                ("cache_write", models.BigIntegerField(blank=True, null=True)),
                ("cache_write_5m", models.BigIntegerField(blank=True, null=True)),
                ("cache_write_1h", models.BigIntegerField(blank=True, null=True)),
                ("visible", models.BigIntegerField(blank=True, null=True)),
                ("reasoning", models.BigIntegerField(blank=True, null=True)),
                ("tool_prompt", models.BigIntegerField(blank=True, null=True)),
                ("audio_in", models.BigIntegerField(blank=True, null=True)),
                ("audio_out", models.BigIntegerField(blank=True, null=True)),
                ("server_tools", models.TextField(blank=True, null=True)),
                ("estimated", models.BooleanField(default=False)),
                ("cost", models.BigIntegerField(blank=True, null=True)),
                ("cost_source", models.CharField(blank=True, max_length=64, null=True)),
                ("market", models.BigIntegerField(blank=True, null=True)),
                ("reported", models.BigIntegerField(blank=True, null=True)),
                ("flags", models.TextField(blank=True, default="[]")),
                ("first_byte_ms", models.BigIntegerField(blank=True, null=True)),
                ("total_ms", models.BigIntegerField(default=0)),
                ("tools_offered", models.TextField(blank=True, null=True)),
                ("tools_used", models.TextField(blank=True, null=True)),
                ("warnings", models.TextField(blank=True, default="[]")),
            ],
            options={
                "verbose_name": "request",
                "verbose_name_plural": "usage",
                "indexes": [
                    models.Index(fields=["at", "id"], name="asgi_llm_usage_at"),
                    models.Index(fields=["day"], name="asgi_llm_usage_day"),
                    models.Index(fields=["tenant", "subject", "at"], name="asgi_llm_usage_owner"),
                ],
            },
        ),
        migrations.CreateModel(
            name="ConversationItem",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=255)),
                ("place", models.BigIntegerField()),
                ("data", models.BinaryField()),
                (
                    "conversation",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="items",
                        to="asgi_llm.conversation",
                    ),
                ),
            ],
            options={
                "default_permissions": (),
                "constraints": [
                    models.UniqueConstraint(fields=("conversation", "name"), name="asgi_llm_conv_item_name"),
                    models.UniqueConstraint(fields=("conversation", "place"), name="asgi_llm_conv_item_place"),
                ],
            },
        ),
        migrations.CreateModel(
            name="ResponseEvent",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("number", models.BigIntegerField()),
                ("data", models.BinaryField()),
                (
                    "response",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="events",
                        to="asgi_llm.response",
                    ),
                ),
            ],
            options={
                "default_permissions": (),
                "constraints": [models.UniqueConstraint(fields=("response", "number"), name="asgi_llm_event_number")],
            },
        ),
        migrations.CreateModel(
            name="ResponseItem",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("tenant", models.CharField(max_length=255)),
                ("subject", models.CharField(max_length=255)),
                ("name", models.CharField(max_length=255)),
                (
                    "response",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="items",
                        to="asgi_llm.response",
                    ),
                ),
            ],
            options={
                "default_permissions": (),
                "indexes": [models.Index(fields=["tenant", "subject", "name"], name="asgi_llm_item_name")],
                "constraints": [models.UniqueConstraint(fields=("response", "name"), name="asgi_llm_item_response")],
            },
        ),
    ]
