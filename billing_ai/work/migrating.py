"""What migrations of large tables use: indexes come and go while the queue works on."""

from __future__ import annotations

from typing import Any

from django.db.migrations.operations import AddIndex


class AddIndexWhileInUse(AddIndex):
    """An index that is made without holding up writers: CONCURRENTLY on PostgreSQL, as usual elsewhere. Its migration is not atomic."""

    atomic = False

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        """Make it; one that an interrupted try left behind half made is dropped first."""
        if schema_editor.connection.vendor != "postgresql":
            super().database_forwards(app_label, schema_editor, from_state, to_state)
            return
        model = to_state.apps.get_model(app_label, self.model_name)
        schema_editor.execute(f'DROP INDEX CONCURRENTLY IF EXISTS "{self.index.name}"')
        schema_editor.add_index(model, self.index, concurrently=True)

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        """Drop it."""
        if schema_editor.connection.vendor != "postgresql":
            super().database_backwards(app_label, schema_editor, from_state, to_state)
            return
        schema_editor.remove_index(from_state.apps.get_model(app_label, self.model_name), self.index, concurrently=True)
