
from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ('audit', '0002_append_only'),
    ]

    operations = [
        migrations.AlterModelOptions(
            name='entry',
            options={'permissions': [('export_evidence', 'Can export evidence packs')], 'verbose_name': 'ledger entry', 'verbose_name_plural': 'ledger entries'},
        ),
    ]
