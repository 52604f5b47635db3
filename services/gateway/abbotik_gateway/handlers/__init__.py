"""What the gateway does for its routes: it sends commands and reads logs. No HTTP in here."""
