"""What may be asked for, and what may be shown: the prompt check, the policy, and decisions on pictures."""
