"""The embedded stack behind `readmit up`: PostgreSQL, broker and services as child processes of one supervisor."""
