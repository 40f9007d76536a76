"""Mail, messages, tickets, CRM records and pages around the site."""

from __future__ import annotations

import smtplib
from email.message import EmailMessage
from typing import Any

from chargebee import Chargebee

from tests.simulator.running import RunningSimulator

AUTH = ("agent@northwind.example/token", "secret")
BEARER = {"Authorization": "Bearer token"}


def _send(simulator: RunningSimulator, to: str, link: str = "http://127.0.0.1/pay/x") -> None:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "Northwind <billing@northwind.example>", to, "Ihre Rechnung – Überweisung"
    message.set_content(f"Guten Tag,\nbitte zahlen Sie hier: {link}\n")
    message.add_alternative(f'<p>Guten Tag, <a href="{link}">hier zahlen</a></p>', subtype="html")
    with smtplib.SMTP("127.0.0.1", simulator.smtp_port) as smtp:
        smtp.send_message(message)


def test_mail_arrives_in_the_customers_box(simulator: RunningSimulator) -> None:
    customer = simulator.get("/control/customers")["customers"][3]
    _send(simulator, customer["email"], link="http://127.0.0.1/pay/abc?a=1&b=2")
    mail = simulator.mail(customer_id=customer["id"])[0]
    assert (mail["to"], mail["subject"]) == (customer["email"], "Ihre Rechnung – Überweisung")
    assert mail["links"][0] == "http://127.0.0.1/pay/abc?a=1&b=2"
    for who in (customer["id"], customer["email"], ""):
        page = simulator.http.get(f"{simulator.base_url}/mailbox/{who}")
        assert page.status_code == 200
        assert "Ihre Rechnung – Überweisung" in page.text
        assert 'sandbox="allow-popups' in page.text
        assert 'href="http://127.0.0.1/pay/abc?a=1&amp;b=2"' in page.text
    assert [call["what"] for call in simulator.calls(channel="mail")][-1] == "mail received"


def test_the_payment_page_pays(simulator: RunningSimulator, site: Chargebee, subscriptions: list[Any]) -> None:
    failed = simulator.fail_payment(customer_id=subscriptions.pop().customer_id, code="lost")
    page = site.HostedPage.collect_now({"customer": {"id": failed["customer_id"]}}).hosted_page
    assert 'id="pay-now"' in simulator.http.get(page.url).text
    declined = simulator.http.post(f"{page.url}/pay", data={"number": "4000000000000002"})
    assert declined.status_code == 402
    assert site.Invoice.retrieve(failed["invoice_id"]).invoice.status == "payment_due"
    paid = simulator.http.post(f"{page.url}/pay", data={"number": "4242424242424242"})
    assert 'id="done"' in paid.text
    invoice = site.Invoice.retrieve(failed["invoice_id"]).invoice
    assert (invoice.status, invoice.dunning_status) == ("paid", "success")
    assert site.HostedPage.retrieve(page.id).hosted_page.state == "succeeded"
    assert 'id="nothing-due"' in simulator.http.get(page.url).text


def test_the_card_page_changes_the_card(simulator: RunningSimulator, site: Chargebee, subscriptions: list[Any]) -> None:
    failed = simulator.fail_payment(customer_id=subscriptions.pop().customer_id, code="expired")
    page = site.HostedPage.manage_payment_sources({"customer": {"id": failed["customer_id"]}}).hosted_page
    before = site.Customer.retrieve(failed["customer_id"]).customer.primary_payment_source_id
    simulator.http.post(f"{page.url}/card", data={"number": "5555555555554444"})
    after = site.Customer.retrieve(failed["customer_id"]).customer.primary_payment_source_id
    assert after != before
    assert site.PaymentSource.retrieve(after).payment_source.card.last4 == "4444"
    assert site.Invoice.retrieve(failed["invoice_id"]).invoice.status == "payment_due"
    assert site.Invoice.collect_payment(failed["invoice_id"]).invoice.status == "paid"


def test_a_link_expires(own_simulator: RunningSimulator) -> None:
    failed = own_simulator.fail_payment(code="lost")
    page = own_simulator.client().HostedPage.collect_now({"customer": {"id": failed["customer_id"]}}).hosted_page
    own_simulator.post("/control/clock", to=page.expires_at + 60)
    assert own_simulator.http.get(page.url).status_code == 410
    assert own_simulator.http.post(f"{page.url}/pay", data={"number": "4242424242424242"}).status_code == 410
    assert own_simulator.client().Invoice.retrieve(failed["invoice_id"]).invoice.amount_paid == 0


def test_messages_reach_the_phone_until_stopped(simulator: RunningSimulator) -> None:
    number = simulator.get("/control/customers")["customers"][5]["phone"]
    url = f"{simulator.base_url}/2010-04-01/Accounts/AC1/Messages.json"
    form = {"To": number, "From": "+15005550006", "Body": "Please pay"}
    sent = simulator.http.post(url, data=form, auth=("AC1", "token"))
    assert (sent.status_code, sent.json()["to"], sent.json()["body"]) == (201, number, "Please pay")
    listed = simulator.http.get(url, params={"To": number}, auth=("AC1", "token")).json()["messages"]
    assert [message["sid"] for message in listed] == [sent.json()["sid"]]
    assert "Please pay" in simulator.http.get(f"{simulator.base_url}/phone/{number}").text

    simulator.post("/control/settings", answers_keywords=True)
    simulator.post("/control/sms/reply", **{"from": number, "to": "+15005550006", "body": "Stop"})
    refused = simulator.http.post(url, data=form, auth=("AC1", "token"))
    assert (refused.status_code, refused.json()["code"]) == (400, 21610)
    assert len(simulator.get("/control/sms", to=number)["sms"]) == 1
    assert simulator.http.post(url, data=form | {"To": "12"}, auth=("AC1", "token")).json()["code"] == 21211
    assert simulator.http.post(url, data=form).status_code == 401


def test_a_ticket_is_made_once_and_found_again(simulator: RunningSimulator) -> None:
    url = f"{simulator.base_url}/zendesk/api/v2"
    body = {
        "ticket": {
            "subject": "Case",
            "comment": {"body": "All of it", "public": False},
            "external_id": "key-1",
            "tags": ["billing_customer_a"],
            "priority": "high",
        }
    }
    made = simulator.http.post(f"{url}/tickets.json", json=body, auth=AUTH, headers={"Idempotency-Key": "key-1"})
    again = simulator.http.post(f"{url}/tickets.json", json=body, auth=AUTH, headers={"Idempotency-Key": "key-1"})
    assert (made.status_code, made.headers["x-idempotency-lookup"], again.headers["x-idempotency-lookup"]) == (201, "miss", "hit")
    number = made.json()["ticket"]["id"]
    assert again.json()["ticket"]["id"] == number
    found = simulator.http.get(f"{url}/tickets.json", params={"external_id": "key-1"}, auth=AUTH).json()["tickets"]
    assert [ticket["id"] for ticket in found] == [number]
    change = {"ticket": {"status": "pending", "comment": {"body": "More"}, "metadata": {"billing_key": "key-2"}}}
    changed = simulator.http.put(f"{url}/tickets/{number}.json", json=change, auth=AUTH).json()
    assert changed["ticket"]["status"] == "pending"
    audits = simulator.http.get(f"{url}/tickets/{number}/audits.json", auth=AUTH).json()["audits"]
    assert [audit["id"] for audit in audits if audit["metadata"]["custom"].get("billing_key") == "key-2"] == [changed["audit"]["id"]]
    comments = simulator.http.get(f"{url}/tickets/{number}/comments.json", auth=AUTH).json()["comments"]
    assert [comment["body"] for comment in comments] == ["All of it", "More"]
    by_tag = simulator.http.get(f"{url}/search.json", params={"query": "type:ticket tags:billing_customer_a"}, auth=AUTH).json()["results"]
    assert [ticket["id"] for ticket in by_tag] == [number]
    assert "Case" in simulator.http.get(f"{simulator.base_url}/helpdesk/").text
    assert simulator.http.post(f"{url}/tickets.json", json=body).status_code == 401
    bad = simulator.http.post(f"{url}/tickets.json", json={"ticket": body["ticket"] | {"priority": "wild"}}, auth=AUTH)
    assert (bad.status_code, bad.json()["error"]) == (422, "RecordInvalid")


def test_salesforce_upserts_by_external_id(simulator: RunningSimulator) -> None:
    base = f"{simulator.base_url}/salesforce/services/data/v62.0"
    customer = simulator.get("/control/customers")["customers"][0]
    query = f"SELECT Id FROM Account WHERE Chargebee_Customer_Id__c = '{customer['id']}' LIMIT 1"
    account = simulator.http.get(f"{base}/query", params={"q": query}, headers=BEARER).json()["records"][0]["Id"]
    records = [
        {"attributes": {"type": "Account"}, "Chargebee_Customer_Id__c": customer["id"], "Churn_Risk__c": 40},
        {"attributes": {"type": "Account"}},
    ]
    answer = simulator.http.patch(
        f"{base}/composite/sobjects/Account/Chargebee_Customer_Id__c", json={"allOrNone": False, "records": records}, headers=BEARER
    ).json()
    assert (answer[0]["id"], answer[0]["created"], answer[1]["success"]) == (account, False, False)
    task = {"Subject": "Call", "WhatId": account}
    made = simulator.http.patch(f"{base}/sobjects/Task/Billing_Effect_Key__c/k1", json=task, headers=BEARER)
    again = simulator.http.patch(f"{base}/sobjects/Task/Billing_Effect_Key__c/k1", json=task, headers=BEARER)
    assert (made.status_code, again.status_code, again.json()["created"]) == (201, 200, False)
    assert made.json()["id"] == again.json()["id"]
    assert simulator.http.get(f"{base}/sobjects/Account/{account}", headers=BEARER).json()["Churn_Risk__c"] == 40


def test_hubspot_upserts_and_keeps_keys_unique(simulator: RunningSimulator) -> None:
    base = f"{simulator.base_url}/hubspot/crm/v3/objects"
    customer = simulator.get("/control/customers")["customers"][1]
    entry = {"idProperty": "chargebee_customer_id", "id": customer["id"], "properties": {"churn_risk": "40"}}
    answer = simulator.http.post(f"{base}/companies/batch/upsert", json={"inputs": [entry]}, headers=BEARER).json()
    assert answer["results"][0]["properties"]["churn_risk"] == "40"
    task = {"properties": {"hs_task_subject": "Call", "billing_effect_key": "k9"}}
    assert simulator.http.post(f"{base}/tasks", json=task, headers=BEARER).status_code == 201
    assert simulator.http.post(f"{base}/tasks", json=task, headers=BEARER).status_code == 409
    found = simulator.http.get(f"{base}/tasks/k9", params={"idProperty": "billing_effect_key"}, headers=BEARER).json()
    assert found["properties"]["hs_task_subject"] == "Call"


def test_every_page_opens(simulator: RunningSimulator) -> None:
    for path in ("/", "/mailbox/", "/phone/", "/helpdesk/", "/crm/", "/clock/", "/seen/"):
        answer = simulator.http.get(simulator.base_url + path)
        assert (answer.status_code, "Northwind Cloud" in answer.text) == (200, True), path
    assert simulator.http.get(f"{simulator.base_url}/pay/nothing").status_code == 404


def test_the_pdf_opens_until_its_link_expires(own_simulator: RunningSimulator) -> None:
    cb = own_simulator.client()
    invoice = cb.Invoice.list({"limit": 1}).list[0].invoice
    download = cb.Invoice.pdf(invoice.id).download
    assert own_simulator.http.get(download.download_url).content.startswith(b"%PDF-1.4")
    own_simulator.post("/control/clock", to=download.valid_till + 60)
    assert own_simulator.http.get(download.download_url).status_code == 410


def test_a_scenario_is_started_by_a_button(own_simulator: RunningSimulator) -> None:
    page = own_simulator.http.get(f"{own_simulator.base_url}/clock/").text
    for name in ("currency_mix", "decline_spike", "dispute_storm", "payday_wave", "plan_migration"):
        assert f'name="name" value="{name}"' in page
    before = own_simulator.get("/control/ready")["counts"]["event"]
    pressed = own_simulator.http.post(f"{own_simulator.base_url}/clock/scenario", data={"name": "decline_spike"}, follow_redirects=True)
    assert pressed.status_code == 200
    assert own_simulator.get("/control/ready")["counts"]["event"] > before
    assert own_simulator.http.post(f"{own_simulator.base_url}/clock/scenario", data={"name": "no_such"}).status_code == 400


def test_every_page_says_where_it_is(simulator: RunningSimulator) -> None:
    for path in ("/", "/mailbox/", "/phone/", "/helpdesk/", "/crm/", "/clock/", "/seen/"):
        page = simulator.http.get(simulator.base_url + path)
        assert page.status_code == 200
        assert page.text.count('aria-current="page"') == 1
        assert f'href="{path}" aria-current="page"' in page.text
