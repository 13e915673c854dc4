//! The rows of one group: all at once, or by halves where the database refuses them.

use super::{
    rows::{Group, Op, Verdict, Verdicts, others, refers_to_it, those},
    writer::{Tried, Writer, ended},
};
use crate::endpoint::{Refusal, RefusalKind, Result};

/// Settles the rows of one group. Once more updates than `patience` clash on unique values, those that fail together are refused
/// together: most likely values are being exchanged, and looking for a culprit is in vain.
pub(super) async fn settle<'a>(writer: &mut impl Writer<'a>, group: Group<'a>, patience: usize) -> Result<Verdicts> {
    let mut verdicts = Vec::with_capacity(group.items.len());
    let mut open = vec![group];
    let mut clashes = 0;
    while let Some(group) = open.pop() {
        let refusal = match attempt(writer, &group).await? {
            Ok(settled) => {
                verdicts.extend(settled);
                continue;
            }
            Err(refusal) => refusal,
        };
        let clash = group.op == Op::Update && refusal.kind == RefusalKind::Unique;
        if group.items.len() == 1 || (clash && clashes >= patience) {
            clashes += usize::from(clash);
            verdicts.extend(group.items.iter().map(|item| (item.position, Verdict::Refused(refusal.clone()))));
        } else {
            let (first, second) = group.items.split_at(group.items.len() / 2);
            open.extend([group.of(second.to_vec()), group.of(first.to_vec())]);
        }
    }
    Ok(verdicts)
}

/// Tries the rows of a group; refused, they leave no trace.
async fn attempt<'a>(writer: &mut impl Writer<'a>, group: &Group<'a>) -> Result<std::result::Result<Verdicts, Refusal>> {
    writer.mark().await?;
    let tried = match group.op {
        Op::Delete => delete(writer, group).await,
        Op::Insert | Op::Update => writer.write(std::slice::from_ref(group)).await,
    };
    ended(writer, tried).await
}

/// Deletes rows that are as they were read and that nothing refers to. The database's own answer to a delete may be to delete the children
/// too, or to clear their references: so it is asked only when none are left, with the rows locked so that none can come.
async fn delete<'a>(writer: &mut impl Writer<'a>, group: &Group<'a>) -> Tried<Verdicts> {
    let access = group.access;
    let held = writer.hold(access, &group.items).await?;
    let mut verdicts: Verdicts = others(&group.items, &held).iter().map(|item| (item.position, Verdict::Moved)).collect();
    let mut ready = those(&group.items, &held);
    for referrer in &access.referrers {
        if ready.is_empty() {
            return Ok(verdicts);
        }
        let found = writer.referred(access, &ready, referrer, None).await?;
        let refusal = refers_to_it(referrer);
        verdicts.extend(found.iter().map(|number| (ready[*number].position, Verdict::Refused(refusal.clone()))));
        ready = others(&ready, &found);
    }
    if !ready.is_empty() {
        verdicts.extend(writer.write(&[group.of(ready)]).await?);
    }
    Ok(verdicts)
}
