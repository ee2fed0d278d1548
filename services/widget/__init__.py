"""The widget's backend: sites, sessions, chat and the desk; it asks the answer service by HTTP."""
