"""The console's own addresses, beside those of the admin."""

from __future__ import annotations

from django.urls import path

from approvals.admin import (
    acting,
    bulk,
    consent_import,
    contact_pages,
    crm_pages,
    kill_switch,
    queue_page,
    review_page,
    rule_pages,
    segment_pages,
    suppression_import,
)

urlpatterns = [
    path("queue/", queue_page.queue, name="queue"),
    path("queue/find/", queue_page.find_customer, name="find"),
    path("queue/release/", bulk.release, name="bulk"),
    path("queue/release/<str:batch>/", bulk.progress, name="batch"),
    path("queue/release/<str:batch>/stop/", bulk.stop, name="stop_batch"),
    path("case/<uuid:case_id>/", review_page.case_page, name="case"),
    path("case/<uuid:case_id>/here/", review_page.here, name="here"),
    path("case/<uuid:case_id>/approve/", acting.approve, name="approve"),
    path("case/<uuid:case_id>/reject/", acting.reject, name="reject"),
    path("case/<uuid:case_id>/<slug:what>/", acting.act, name="act"),
    path("proposal/<uuid:proposal_id>/check/", review_page.check, name="check"),
    path("proposal/<uuid:proposal_id>/edit/", acting.edit, name="edit"),
    path("proposal/<uuid:proposal_id>/settle/", acting.settle, name="settle"),
    path("undo/", acting.undo, name="undo"),
    path("rule/policy/<str:key>/", rule_pages.policy, name="change_policy"),
    path("rule/limit/<int:pk>/", rule_pages.limit, name="change_limit"),
    path("rule/limit/new/", rule_pages.new_limit, name="new_limit"),
    path("rule/phase/<int:pk>/", rule_pages.phase, name="change_phase"),
    path("rule/segment/new/", segment_pages.segment, name="new_segment"),
    path("rule/segment/<int:pk>/", segment_pages.segment, name="change_segment"),
    path("crm/fields/", crm_pages.fields, name="crm_fields"),
    path("switch/", kill_switch.switch, name="switch"),
    path("contact/<str:customer_id>/", contact_pages.contact, name="contact"),
    path("consents/import/", consent_import.upload, name="import_consents"),
    path("suppressions/import/", suppression_import.upload, name="import_suppressions"),
]
