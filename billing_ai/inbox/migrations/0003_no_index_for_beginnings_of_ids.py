"""Nobody asks for events by the beginning of their id, and each insert and each change of status paid for the index that answers it."""

from django.db import migrations


def drop(apps, schema_editor):
    """The index that Django adds to each unique text column on PostgreSQL; the unique one stays."""
    if schema_editor.connection.vendor != 'postgresql':
        return
    with schema_editor.connection.cursor() as cursor:
        cursor.execute("SELECT indexrelid::regclass::text FROM pg_index WHERE indrelid = 'inbox_event'::regclass AND NOT indisunique")
        names = [name for (name,) in cursor.fetchall() if name.startswith('inbox_event_chargebee_event_id_') and name.endswith('_like')]
    for name in names:
        schema_editor.execute(f'DROP INDEX CONCURRENTLY IF EXISTS {name}')


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ('inbox', '0002_fair_index'),
    ]

    operations = [migrations.RunPython(drop, migrations.RunPython.noop)]
