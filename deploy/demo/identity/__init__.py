"""The demo identity platform: what a customer's own sign-in system does around Readmit.

It signs people in, locks accounts, honours Readmit's grants, is the OpenID provider of the consoles, and reports
what happens on it to intake.
"""

from deploy.demo.identity.ready import credentials

__all__ = ["credentials"]
