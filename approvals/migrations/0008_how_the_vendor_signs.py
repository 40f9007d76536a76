"""The rule of the brand learns who signs and what messages do and do not say."""

from __future__ import annotations

from typing import Any

from django.db import migrations

_NEW: dict[str, Any] = {"sender_name": "", "signature": "", "do": [], "do_not": [], "forbidden_words": []}


def learn(apps: Any, _: Any) -> None:
    for row in apps.get_model("approvals", "Policy").objects.filter(key="draft.brand"):
        row.params = {**_NEW, **row.params}
        row.title = "Who signs, and words that messages never use"
        row.save(update_fields=["params", "title"])


class Migration(migrations.Migration):
    dependencies = [("approvals", "0007_figures_of_today")]
    operations = [migrations.RunPython(learn, migrations.RunPython.noop)]
