
import audit.models
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
    ]

    operations = [
        migrations.CreateModel(
            name='Checkpoint',
            fields=[
                ('number', models.PositiveBigIntegerField(primary_key=True, serialize=False)),
                ('at', models.DateTimeField()),
                ('entries', models.PositiveBigIntegerField(help_text='all entries of all writers up to here')),
                ('root', models.BinaryField(help_text='Merkle root over the heads that moved since the checkpoint before')),
                ('previous', models.BinaryField(help_text='hash of the checkpoint before')),
                ('hash', models.BinaryField()),
                ('public_key', models.BinaryField()),
                ('signature', models.BinaryField()),
            ],
        ),
        migrations.CreateModel(
            name='RetiredSecret',
            fields=[
                ('fingerprint', models.CharField(max_length=16, primary_key=True, serialize=False)),
                ('wrapped', models.BinaryField()),
                ('wrapped_by', models.CharField(max_length=16)),
                ('retired_at', models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name='CustomerKey',
            fields=[
                ('chargebee_customer_id', models.CharField(max_length=200, primary_key=True, serialize=False)),
                ('wrapped', models.BinaryField(blank=True)),
                ('wrapped_by', models.CharField(blank=True, help_text='fingerprint of the master key', max_length=16)),
                ('created_at', models.DateTimeField()),
                ('erased_at', models.DateTimeField(null=True)),
            ],
            options={
                'indexes': [models.Index(fields=['wrapped_by'], name='audit_customerkey_wrapped_by')],
            },
        ),
        migrations.CreateModel(
            name='Entry',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('writer', models.UUIDField()),
                ('position', models.PositiveBigIntegerField()),
                ('serial', models.PositiveBigIntegerField()),
                ('at', models.DateTimeField()),
                ('kind', models.CharField(max_length=80)),
                ('actor_kind', models.CharField(max_length=16)),
                ('actor_id', models.CharField(max_length=200)),
                ('actor_label', models.CharField(max_length=200)),
                ('trace_id', models.CharField(max_length=64)),
                ('chargebee_event_id', models.CharField(blank=True, max_length=200)),
                ('chargebee_customer_id', models.CharField(blank=True, max_length=200)),
                ('chargebee_invoice_id', models.CharField(blank=True, max_length=200)),
                ('case_id', models.UUIDField(null=True)),
                ('subject_kind', models.CharField(max_length=80)),
                ('subject_id', models.CharField(max_length=200)),
                ('agent', models.CharField(blank=True, max_length=80)),
                ('prompt_hash', models.CharField(blank=True, max_length=80)),
                ('model', models.CharField(blank=True, max_length=200)),
                ('data', audit.models.CanonicalJson()),
                ('mark', models.BinaryField()),
                ('prev_hash', models.BinaryField()),
                ('hash', models.BinaryField()),
            ],
            options={
                'verbose_name': 'ledger entry',
                'verbose_name_plural': 'ledger entries',
                'indexes': [models.Index(fields=['at'], name='audit_entry_at'), models.Index(fields=['kind', 'id'], name='audit_entry_kind'), models.Index(fields=['trace_id'], name='audit_entry_trace'), models.Index(fields=['case_id'], name='audit_entry_case'), models.Index(fields=['chargebee_event_id'], name='audit_entry_event'), models.Index(fields=['chargebee_customer_id'], name='audit_entry_customer'), models.Index(fields=['chargebee_invoice_id'], name='audit_entry_invoice'), models.Index(fields=['subject_id', 'subject_kind'], name='audit_entry_subject')],
                'constraints': [models.UniqueConstraint(fields=('writer', 'position'), name='audit_entry_writer_position')],
            },
        ),
        migrations.CreateModel(
            name='PersonalDataRead',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('at', models.DateTimeField()),
                ('user_id', models.CharField(max_length=200)),
                ('user_label', models.CharField(max_length=200)),
                ('chargebee_customer_id', models.CharField(max_length=200)),
                ('what', models.CharField(max_length=200)),
                ('why_sealed', models.BinaryField(blank=True)),
                ('trace_id', models.CharField(blank=True, max_length=64)),
            ],
            options={
                'verbose_name': 'read of personal data',
                'verbose_name_plural': 'reads of personal data',
                'indexes': [models.Index(fields=['chargebee_customer_id', 'id'], name='audit_read_customer'), models.Index(fields=['user_id', 'id'], name='audit_read_user')],
            },
        ),
        migrations.CreateModel(
            name='CheckpointHead',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('writer', models.UUIDField()),
                ('position', models.PositiveBigIntegerField()),
                ('entry_hash', models.BinaryField()),
                ('checkpoint', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='heads', to='audit.checkpoint')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('writer', 'position'), name='audit_checkpointhead_writer_position')],
            },
        ),
    ]
