"""The CRM, when it is Salesforce: scores on accounts, tasks for their owners."""
