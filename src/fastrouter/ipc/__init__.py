"""What the control process and its workers share: messages, table changes, counters."""
