"""What playbook tests, the molecule scenario and the demo share."""
