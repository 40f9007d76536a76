"""The database refuses changes to what may only be added to, and on PostgreSQL the application role is created."""

from django.db import migrations

from audit.append_only import APPEND_FUNCTION, install_sql, remove_sql
from audit.grants import CREATE_ROLE


def install(apps, schema_editor):
    for statement in install_sql(schema_editor.connection.vendor):
        schema_editor.execute(statement, params=None)
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(APPEND_FUNCTION, params=None)
        schema_editor.execute(CREATE_ROLE, params=None)


def remove(apps, schema_editor):
    for statement in remove_sql(schema_editor.connection.vendor):
        schema_editor.execute(statement, params=None)


class Migration(migrations.Migration):
    dependencies = [("audit", "0001_ledger")]
    operations = [migrations.RunPython(install, remove)]
