"""What floors above may want to hear of, without being imported from here."""

from django.dispatch import Signal

# Sent inside the transaction of a rejection that carries an instruction: proposal, instruction. The agents start a run that drafts again.
redraft_wanted = Signal()
# Sent inside the transaction: case, kind ("case.recovered", "promise.kept" …). For what tells other systems.
case_changed = Signal()
# Sent before new proposals and their case are written: case, is_new, proposals. Each receiver gives the rows that are to be written with them.
proposals_entering = Signal()
# Sent inside the transaction that ended an effect: case, proposal, execution.
effect_ended = Signal()
