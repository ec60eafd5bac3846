// The planted bugs: each a mistake that somebody could make in this code, and the tests that have
// to notice. run.ts plants one at a time in a copy of the repository and runs those tests; no
// released source knows of them. test/house/planted.test.ts keeps `find` true to the sources.

export interface PlantedBug {
  /** What the code does wrong with it. */
  readonly name: string
  readonly file: string
  /** Occurs exactly once in the file. */
  readonly find: string
  readonly replace: string
  /** Tests of the core whose name contains this, or a file of vitest. */
  readonly caughtBy: { readonly native: string } | { readonly vitest: string }
}

const powerCut = { native: 'whatever a power cut' }
const failingCall = { native: 'every call that fails' }
const hostileFile = { native: 'hostile files' }
const sideBySide = { vitest: 'test/model/transactions.test.ts' }
const writersWhoNeverStop = { vitest: 'test/scenarios/defrag-under-load.test.ts' }
const severalThatMeet = { vitest: 'test/scenarios/backend-concurrency.test.ts' }

export const plantedBugs: readonly PlantedBug[] = [
  {
    name: 'skips the directory sync after the rename of a defragmentation',
    file: 'native/core/defrag.cc',
    find: `    store_->journal_->sync_directory();
`,
    replace: '',
    caughtBy: powerCut,
  },
  {
    name: 'skips the sync of the journal',
    file: 'native/core/journal.cc',
    find: `    segment->file->sync_data();
`,
    replace: '',
    caughtBy: powerCut,
  },
  {
    name: 'skips the sync of the pages before the meta',
    file: 'native/core/commit.cc',
    find: `    file.file().sync_data();
    file.write(`,
    replace: '    file.write(',
    caughtBy: powerCut,
  },
  {
    name: 'skips the sync after the meta',
    file: 'native/core/commit.cc',
    find: `    file.file().sync_data();
    file.freelist()`,
    replace: '    file.freelist()',
    caughtBy: powerCut,
  },
  {
    name: 'writes the meta before the pages',
    file: 'native/core/commit.cc',
    find: `  sink.flush();
  const std::string page = encode_meta_page(meta);`,
    replace: `  const std::string page = encode_meta_page(meta);
  file.write(PageId{value(meta.txid) % 2}, page);
  sink.flush();`,
    caughtBy: powerCut,
  },
  {
    name: 'writes both metas to the same place',
    file: 'native/core/commit.cc',
    find: 'PageId{value(meta.txid) % 2}',
    replace: 'PageId{0}',
    caughtBy: powerCut,
  },
  {
    name: 'acknowledges before the sync',
    file: 'native/core/journal.cc',
    find: `    if (!writing_->empty()) write_frames();
`,
    replace: `    if (!writing_->empty()) write_frames();
    synced_seq_ = last;
    acknowledge(last);
`,
    caughtBy: powerCut,
  },
  {
    name: 'reuses a page one commit early',
    file: 'native/core/freelist.cc',
    find: 'value(young_.front().freed_by) + 2 <=',
    replace: 'value(young_.front().freed_by) + 1 <=',
    caughtBy: powerCut,
  },
  {
    name: 'forgets after opening that the other meta is a state to fall back on',
    file: 'native/core/page_file.cc',
    find: '  freelist_.hold_back(find_freed_since(*older, free), meta().txid);',
    replace: '  (void)find_freed_since(*older, free);',
    caughtBy: powerCut,
  },
  {
    name: 'recycles journal segments before the checkpoint is committed',
    file: 'native/core/store_checkpoint.cc',
    find: `    WriteTx tx(checkpoint.file, pacer_, {});
    tx.apply(pointers);`,
    replace: `    journal_->recycle(checkpoint.covered);
    WriteTx tx(checkpoint.file, pacer_, {});
    tx.apply(pointers);`,
    caughtBy: powerCut,
  },
  {
    name: 'recycles a segment with one transaction too many',
    file: 'native/core/journal_segments.cc',
    find: '(*end)->last_seq <= std::min(covered, limit);',
    replace: '(*end)->last_seq <= std::min(covered, limit) + 1;',
    caughtBy: powerCut,
  },
  {
    name: 'adopts a stale temporary file',
    file: 'native/core/recovery.cc',
    find: 'remove_temporary(files, directory + "/" + name);',
    replace: '(void)remove_temporary, files.rename(directory + "/" + name, path);',
    caughtBy: powerCut,
  },
  {
    name: 'leaves stale temporary files',
    file: 'native/core/recovery.cc',
    find: 'if (is_temporary_name(name_of(path), name)) remove_temporary',
    replace: 'if (false) remove_temporary',
    caughtBy: powerCut,
  },
  {
    name: 'marks more than a checkpoint covers',
    file: 'native/core/store_checkpoint.cc',
    find: 'mark_at(checkpoint.covered)',
    replace: 'mark_at(last_seq_)',
    caughtBy: powerCut,
  },
  {
    name: 'marks more than a defragmentation covers',
    file: 'native/core/defrag.cc',
    find: 'mark_at(round.covered)',
    replace: 'mark_at(store_->last_seq_)',
    caughtBy: powerCut,
  },
  {
    name: 'marks more than the copy of a defragmentation covers',
    file: 'native/core/defrag.cc',
    find: 'mark_at(covered_)',
    replace: 'mark_at(covered_ + 1)',
    caughtBy: powerCut,
  },
  {
    name: 'marks one transaction more than a checkpoint covers',
    file: 'native/core/store_checkpoint.cc',
    find: 'mark_at(checkpoint.covered)',
    replace: 'mark_at(checkpoint.covered + 1)',
    caughtBy: powerCut,
  },
  {
    name: 'marks more than a recovery covers',
    file: 'native/core/replayer.cc',
    find: 'mark_at(last_seq)',
    replace: 'mark_at(last_seq + 1)',
    caughtBy: powerCut,
  },
  {
    name: 'marks more than a close covers',
    file: 'native/core/store.cc',
    find: 'mark_at(last_seq_)',
    replace: 'mark_at(last_seq_ + 1)',
    caughtBy: powerCut,
  },
  {
    name: 'switches without the last round of catching up',
    file: 'native/core/defrag.cc',
    find: '    tx.commit(store_->history_.mark_at(round.covered));',
    replace: `    if (round.journal_until == 1)
      tx.commit(store_->history_.mark_at(round.covered));`,
    caughtBy: powerCut,
  },
  {
    name: 'limits the catching up of a defragmentation by its bytesPerSecond',
    file: 'native/core/defrag.cc',
    find: 'replay_pacer_(store_->files_, store_->latency_, 0)',
    replace: 'replay_pacer_(store_->files_, store_->latency_, options.bytes_per_second)',
    caughtBy: { native: 'bytes_per_second is the limit of the copy' },
  },
  {
    name: 'lets writers outrun the rounds of a defragmentation',
    file: 'lib/database/checkpointer.ts',
    find: 'this.#pressure.limit(bytesPerMs)',
    replace: 'void bytesPerMs',
    caughtBy: writersWhoNeverStop,
  },
  {
    name: 'keeps more for a defragmentation than maxRetainedBytes',
    file: 'lib/database/checkpointer.ts',
    find: 'return this.#held ? this.#limits.maxRetainedBytes :',
    replace: 'return this.#held ? Infinity :',
    caughtBy: writersWhoNeverStop,
  },
  {
    name: 'creates a database without syncing it',
    file: 'native/core/page_file_open.cc',
    find: `    file->sync_all();
    if (!files`,
    replace: '    if (!files',
    caughtBy: powerCut,
  },
  {
    name: 'uses a new segment whose name is not durable',
    file: 'native/core/journal_segments.cc',
    find: `  if (segment.ready == 0) sync_directory();
`,
    replace: '',
    caughtBy: powerCut,
  },
  {
    name: 'uses a recycled segment whose name is not durable',
    file: 'native/core/journal_segments.cc',
    find: `  } while (!files_.rename_new(segment.path, path));
  sync_directory();`,
    replace: '  } while (!files_.rename_new(segment.path, path));',
    caughtBy: powerCut,
  },
  {
    name: 'removes the journal before the last checkpoint of a close',
    file: 'native/core/store.cc',
    find: `      checkpoint_rest();
      journal_->remove_all();`,
    replace: `      journal_->remove_all();
      checkpoint_rest();`,
    caughtBy: powerCut,
  },
  {
    name: 'believes a frame without its checksum',
    file: 'native/core/journal_reader.cc',
    find: `  if (crc32c(body) != header->body_crc) return false;
`,
    replace: '',
    caughtBy: powerCut,
  },
  {
    name: 'believes a meta without its checksum',
    file: 'native/core/meta.cc',
    find: 'raw.checksum != fnv1a64(bytes.substr(0, kChecksumAt))',
    replace: 'false',
    caughtBy: powerCut,
  },
  {
    name: 'believes a frame of another chain',
    file: 'native/core/journal_reader.cc',
    find: 'header->seq != next_ || header->chain != chain_',
    replace: 'header->seq != next_',
    caughtBy: { native: 'fuzz journal' },
  },
  {
    name: 'retries a failed sync',
    file: 'native/core/journal.cc',
    find: `    segment->file->sync_data();
`,
    replace: `    try {
      segment->file->sync_data();
    } catch (const Error&) {
      segment->file->sync_data();
    }
`,
    caughtBy: failingCall,
  },
  {
    name: 'swallows a failed write of the journal',
    file: 'native/core/journal.cc',
    find: `      segment->file->write(offset, part);
`,
    replace: `      try {
        segment->file->write(offset, part);
      } catch (const Error&) {
      }
`,
    caughtBy: failingCall,
  },
  {
    name: 'acknowledges what failed',
    file: 'native/core/journal.cc',
    find: `  if (!done || !acknowledges) return;
`,
    replace: `  if (!acknowledges) return;
`,
    caughtBy: failingCall,
  },
  {
    name: 'leaves the file of a failed defragmentation',
    file: 'native/core/defrag.cc',
    find: `    store_->files_.remove(temp_path_);
`,
    replace: '',
    caughtBy: failingCall,
  },
  {
    name: 'keeps the pages of a checkpoint that failed',
    file: 'native/core/tx.cc',
    find: `    file_->freelist().rollback();
`,
    replace: `    file_->freelist().commit();
`,
    caughtBy: failingCall,
  },
  {
    name: 'writes on after a failed sync of the page file',
    file: 'native/core/commit.cc',
    find: `    file.poison(current_error());
`,
    replace: '',
    caughtBy: failingCall,
  },
  {
    name: 'removes the journal over a meta that was never synced',
    file: 'native/core/recovery.cc',
    find: `  if (!was_closed && meta.mark) store.file_->rewrite_meta();
`,
    replace: '',
    caughtBy: failingCall,
  },
  {
    name: 'goes on after frames that only the cache has',
    file: 'native/core/recovery.cc',
    find: `      rewrite(*segment->file, has_header ? 0 : end.unsynced_offset, end_offset);
`,
    replace: `      (void)has_header;
`,
    caughtBy: failingCall,
  },
  {
    name: 'begins a life without the chain of the one before',
    file: 'native/core/recovery.cc',
    find: `    start.chain = end.chain;
`,
    replace: '',
    caughtBy: powerCut,
  },
  {
    name: 'appends before there is a place for it',
    file: 'native/core/journal.cc',
    find: `  if (room_ - frame_bytes < reserve) segments_->require_spare(reserve);
`,
    replace: '',
    caughtBy: { native: 'removals go on when writes are refused' },
  },
  {
    name: 'seals a memtable before there is another',
    file: 'native/core/store_checkpoint.cc',
    find: `  install_over(std::make_shared<Memtable>(), view_->layers, view_->base);
  sealed->seal(last_seq_);
`,
    replace: `  sealed->seal(last_seq_);
  install_over(std::make_shared<Memtable>(), view_->layers, view_->base);
`,
    caughtBy: { native: 'every allocation that fails' },
  },
  {
    name: 'retries a sync that was interrupted',
    file: 'native/platform/posix_file.cc',
    find: '  if (call() == 0) return;',
    replace: '  if (retry(call) == 0) return;',
    caughtBy: { native: 'interrupted' },
  },
  {
    name: 'takes a short write for a whole one',
    file: 'native/platform/posix_file.cc',
    find: `    bytes.remove_prefix(static_cast<size_t>(count));
    offset`,
    replace: `    bytes.remove_prefix(bytes.size());
    offset`,
    caughtBy: { native: 'transfers of one byte' },
  },
  {
    name: 'lets scraps of memory into pages',
    file: 'native/core/node.cc',
    find: `  std::memset(data, 0, static_cast<size_t>(end - data));
`,
    replace: `  (void)end;
`,
    caughtBy: { native: 'no byte of the heap' },
  },
  {
    name: 'reads a key beyond its page',
    file: 'native/core/page.h',
    find: 'if (begin + size > run_.size()) corrupt("a key',
    replace: 'if (false) corrupt("a key',
    caughtBy: hostileFile,
  },
  {
    name: 'believes the length of a run of pages',
    file: 'native/core/page_file.h',
    find: 'header.id != index || header.overflow >= page_limit_ - index',
    replace: 'header.id != index',
    caughtBy: hostileFile,
  },
  {
    name: 'believes the count of a freelist',
    file: 'native/core/freelist.cc',
    find: 'if (count > rest.size() / sizeof(uint64_t))',
    replace: 'if (false)',
    caughtBy: hostileFile,
  },
  {
    name: 'opens a file that was replaced while it waited for the lock',
    file: 'native/core/page_file_open.cc',
    find: 'if (current && current->same_inode(file->status())) return file;',
    replace: 'if (current) return file;',
    caughtBy: { vitest: 'test/processes/switchover.test.ts' },
  },
  {
    name: 'renames a file that nobody has locked',
    file: 'native/core/page_file_open.cc',
    find: 'if (!handle->try_lock(LockKind::kExclusive)) throw_locked(path);',
    replace: '',
    caughtBy: { vitest: 'test/processes/switchover.test.ts' },
  },
  {
    name: 'leaves a replaced file usable',
    file: 'native/core/defrag.cc',
    find: 'store_->file_->revoke();',
    replace: '(void)store_;',
    caughtBy: { vitest: 'test/processes/switchover.test.ts' },
  },
  {
    name: 'reads the memory that a caller shares twice',
    file: 'native/binding/args.cc',
    find: 'if (is_private) return;',
    replace: 'return;',
    caughtBy: { vitest: 'test/processes/buffers.test.ts' },
  },
  {
    name: 'gives descriptors to child processes',
    file: 'native/platform/posix_file.cc',
    find: 'int flags = O_CLOEXEC | O_NONBLOCK',
    replace: 'int flags = O_NONBLOCK',
    caughtBy: { vitest: 'test/processes/aliases.test.ts' },
  },
  {
    name: 'believes what it read from a page that is gone',
    file: 'native/platform/posix_guard.cc',
    find: `  damaged_.store(true, std::memory_order_release);
`,
    replace: '',
    caughtBy: { vitest: 'test/faults/cut-short.test.ts' },
  },
  {
    name: 'gives a backup its name before it is synced',
    file: 'native/core/temp_file.cc',
    find: `  file().sync_all();
`,
    replace: '',
    caughtBy: powerCut,
  },
  {
    name: 'skips the directory sync after the rename of a backup',
    file: 'native/core/temp_file.cc',
    find: `  files_.sync_directory(directory_of(target_));
`,
    replace: '',
    caughtBy: powerCut,
  },
  {
    name: 'takes the next table of a backup before the last one is released',
    file: 'lib/backup/freezer.ts',
    find: "if (this.#options.unfreeze === 'inline') await released",
    replace: 'void released',
    caughtBy: { vitest: 'test/unit/backup-scheduler.test.ts' },
  },
  {
    name: 'lets a backup replace what has appeared under its name',
    file: 'native/core/temp_file.cc',
    find: 'if (!files_.rename_new(path_, target_)) throw_exists(target_);',
    replace: 'files_.rename(path_, target_);',
    caughtBy: { native: 'what appears under the name' },
  },
  {
    name: 'removes a temporary file that somebody is building',
    file: 'native/core/temp_file.cc',
    find: '  if (!file->try_lock(LockKind::kExclusive)) return;\n',
    replace: '',
    caughtBy: { native: 'temporary files that nobody has locked' },
  },
  {
    name: 'merges what is newer than the snapshot into a backup',
    file: 'native/core/backup.cc',
    find: 'tx.apply(state_->pointers(), seq_);',
    replace: 'tx.apply(state_->pointers());',
    caughtBy: { native: 'versions that are newer than the snapshot' },
  },
  {
    name: 'publishes a backup that does not pass its check',
    file: 'native/core/backup.cc',
    find: '  if (options_.verify) verify(temp);\n',
    replace: '',
    caughtBy: { native: 'a source that is damaged or cut short' },
  },
  {
    name: "leaves the database's mark in a backup",
    file: 'native/core/image.cc',
    find: '  newest.mark.reset();\n',
    replace: '',
    caughtBy: { native: 'a backup holds what its snapshot saw' },
  },
  {
    name: "gives a backup the number of its source's transaction",
    file: 'native/core/image.cc',
    find: 'newest.txid = TxId{value(source.txid) + 1};',
    replace: 'newest.txid = source.txid;',
    caughtBy: { native: 'a leftover journal of a source without a mark' },
  },
  {
    name: 'forgets what an iterator that was left has read',
    file: 'native/core/update.cc',
    find: `    if (const auto read = range->so_far()) reads_.range(range->path, *read);
`,
    replace: '',
    caughtBy: sideBySide,
  },
  {
    name: 'shows an iteration what its transaction writes later',
    file: 'native/core/update.cc',
    find: 'return BucketView::at(view_, {seq_, range.read.own}, range.path);',
    replace: 'return BucketView::at(view_, seq_, range.path);',
    caughtBy: sideBySide,
  },
  {
    name: 'replaces versions that an iteration over a transaction sees',
    file: 'native/core/update.cc',
    find: 'writer.apply(op, own_seq_, pinned_, false, changed)',
    replace: 'writer.apply(op, own_seq_, 0, false, changed)',
    caughtBy: sideBySide,
  },
  {
    name: 'believes that a bucket which a put made is all its own',
    file: 'native/core/read_set.cc',
    find: 'if (newest != nullptr && table_ == nullptr) hides_ = true;',
    replace: 'if (newest != nullptr && (created_ || table_ == nullptr)) hides_ = true;',
    caughtBy: sideBySide,
  },
  {
    name: 'commits operations that do not apply any more',
    file: 'native/core/update.cc',
    find: '(!may_contradict() || still_applies())',
    replace: '(true || still_applies())',
    caughtBy: sideBySide,
  },
  {
    name: 'leaves a transaction open whose callback has thrown',
    file: 'lib/database/updates.ts',
    find: `      scope.rollback()
      throw error
    }
    return finish(`,
    replace: `      throw error
    }
    return finish(`,
    caughtBy: severalThatMeet,
  },
  {
    name: 'runs updates side by side',
    file: 'lib/database/updates.ts',
    find: 'if (!this.#running) return this.#execute(callback, retries)',
    replace: 'if (this.#queue.length === 0) return this.#execute(callback, retries)',
    caughtBy: severalThatMeet,
  },
  {
    name: 'opens for writing what somebody else has open',
    file: 'native/core/page_file_open.cc',
    find: 'while (!file.try_lock(kind)) {',
    replace: 'while (!file.try_lock(LockKind::kShared)) {',
    caughtBy: severalThatMeet,
  },
  {
    name: 'takes over the unfinished file of a defragmentation whose process died',
    file: 'native/core/recovery.cc',
    find: 'remove_temporary(files, directory + "/" + name);',
    replace: '(void)remove_temporary, files.rename(directory + "/" + name, path);',
    caughtBy: severalThatMeet,
  },
  {
    name: 'replaces versions that readers see',
    file: 'native/core/store.h',
    find: 'return pins_.empty() ? 0 : pins_.rbegin()->first;',
    replace: 'return 0;',
    caughtBy: severalThatMeet,
  },
  {
    name: 'removes segments of two epochs in one go',
    file: 'native/core/journal_segments.cc',
    find: `    if (segment->epoch != epoch) sync_directory();
`,
    replace: '',
    caughtBy: powerCut,
  },
  {
    name: 'removes a journal of two epochs in one go when it recovers',
    file: 'native/core/journal_reader.cc',
    find: `    if (segment.epoch != epoch) files.sync_directory(directory_of(segment.path));
`,
    replace: '',
    caughtBy: powerCut,
  },
  {
    name: 'puts a journal on any file of the same database',
    file: 'native/core/recovery.cc',
    find: `  if (std::ranges::any_of(segments, is_of_epoch)) return true;
`,
    replace: `  if (true || std::ranges::any_of(segments, is_of_epoch)) return true;
`,
    caughtBy: { vitest: 'test/faults/diverged.test.ts' },
  },
]
