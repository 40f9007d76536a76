"""The CRM, when it is HubSpot: scores on companies, tasks for their owners."""
