"""What a page says after a form was sent, by the code in its address: no address can put other words there."""

TOLD = {
    "approval.approved": "Approved. What waited goes on.",
    "approval.rejected": "Rejected. What waited has ended.",
    "quarantine.accepted": "Accepted. The next dataset may use it.",
    "quarantine.rejected": "Rejected. It stays out of every dataset.",
    "canary.approved": "Approved. The canary goes on at its next look.",
    "canary.rejected": "Rejected. The stable version serves everybody again.",
    "canary.overridden": "Noted. Once another administrator wants it too, the canary takes this step.",
    "job.stopping": "The job is to be stopped. It has ended once its provider says so.",
    "canary.aborted": "Aborted. The stable version serves everybody again.",
    "session.ended": "Signed out.",
}
