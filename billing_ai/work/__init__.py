"""Whatever waits is a row: claims under a lease, fencing by attempt number, and a wake-up that may get lost without harm."""
