//! Files with holes on a tmpfs: which pages are in use (`st_blocks`), and where `SEEK_DATA` and
//! `SEEK_HOLE` find them.

use lx_guest_tests::{Called, Checks, c, call};

const PAGE: i64 = 4096;
/// lx keeps file contents in blocks of this size, which must not show.
const BLOCK: i64 = 65536;

/// A file in memory.
struct File(i32);

impl File {
    fn new() -> Self {
        Self(call!(memfd_create(c("sparse").as_ptr(), 0)).unwrap_or(-1) as i32)
    }

    /// A new file with 5 bytes at each of `places`.
    fn with(places: &[i64]) -> Self {
        let file = Self::new();
        for place in places {
            file.write(*place, 5);
        }
        file
    }

    fn write(&self, at: i64, len: usize) {
        let bytes = vec![b'x'; len];
        let _ = call!(pwrite(self.0, bytes.as_ptr().cast(), len, at));
    }

    fn truncate(&self, len: i64) {
        let _ = call!(ftruncate(self.0, len));
    }

    fn allocate(&self, mode: i32, at: i64, len: i64) -> Called {
        call!(fallocate(self.0, mode, at, len))
    }

    fn punch(&self, at: i64, len: i64) {
        let _ = self.allocate(libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE, at, len);
    }

    /// Pages in use.
    fn pages(&self) -> i64 {
        // SAFETY: all zeros is a value of the plain structure.
        let mut stat: libc::stat = unsafe { std::mem::zeroed() };
        let _ = call!(fstat(self.0, &raw mut stat));
        stat.st_blocks * 512 / PAGE
    }

    fn seek(&self, at: i64, whence: i32) -> Called {
        call!(lseek(self.0, at, whence))
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = call!(close(self.0));
    }
}

fn written(t: &mut Checks) {
    t.is("an empty file has no page", File::new().pages(), 0);
    t.is("a short file has one", File::with(&[0]).pages(), 1);
    t.is("of a page, the first use counts", File::with(&[0, 10, 4000]).pages(), 1);
    t.is("a write across pages has both", File::with(&[PAGE - 2]).pages(), 2);
    t.is("pages before a write stay holes", File::with(&[3 * PAGE]).pages(), 1);
    t.is("far apart", File::with(&[0, BLOCK, 40 * BLOCK, 1 << 40]).pages(), 4);
    let file = File::new();
    file.write(0, 3 * BLOCK as usize + 1);
    t.is("a long write", file.pages(), 49);
    file.write(PAGE, 2 * PAGE as usize);
    t.is("written again", file.pages(), 49);
}

fn truncated(t: &mut Checks) {
    let file = File::new();
    file.truncate(1000);
    t.is("a file that only was made long has no page", file.pages(), 0);
    file.truncate(10 * BLOCK);
    t.is("nor if it is very long", file.pages(), 0);
    file.write(5 * BLOCK, 1);
    t.is("then only what is written", file.pages(), 1);
    file.truncate(5 * BLOCK + 1);
    t.is("a shorter file keeps the page of its end", file.pages(), 1);
    file.truncate(5 * BLOCK);
    t.is("and gives up what lies behind it", file.pages(), 0);
    let file = File::with(&[0]);
    file.truncate(3);
    t.is("a short file that got shorter", file.pages(), 1);
    file.truncate(0);
    t.is("and empty", file.pages(), 0);
    file.truncate(100);
    t.is("and long again", file.pages(), 0);
}

fn punched(t: &mut Checks) {
    let file = File::new();
    file.write(0, 2 * BLOCK as usize);
    file.punch(PAGE, 2 * PAGE);
    t.is("two pages punched", file.pages(), 30);
    file.punch(4 * PAGE + 1, 2 * PAGE);
    t.is("parts of pages stay", file.pages(), 29);
    file.punch(0, BLOCK);
    t.is("a whole block", file.pages(), 16);
    file.write(10, 1);
    t.is("written after that", file.pages(), 17);
    let file = File::with(&[0]);
    file.punch(0, 5);
    t.is("a short file keeps its page for a short hole", file.pages(), 1);
    file.punch(0, PAGE);
    t.is("and gives it up for a long one", file.pages(), 0);
}

fn allocated(t: &mut Checks) {
    let file = File::new();
    t.works("a short allocation", file.allocate(0, 0, 100));
    t.is("has its page", file.pages(), 1);
    t.works("one that keeps the size", file.allocate(libc::FALLOC_FL_KEEP_SIZE, PAGE, BLOCK));
    t.is("counts too", file.pages(), 17);
    file.truncate(100);
    t.is("until the file is cut to the size that it has", file.pages(), 1);
    t.works("an allocation across pages", file.allocate(0, BLOCK - 1, 2));
    t.is("has both", file.pages(), 3);
}

fn sought(t: &mut Checks) {
    let (data, hole) = (libc::SEEK_DATA, libc::SEEK_HOLE);
    let file = File::with(&[2 * PAGE, 3 * BLOCK + PAGE]);
    t.is("data behind the first hole", file.seek(0, data), Ok(2 * PAGE));
    t.is("a place within data is data", file.seek(2 * PAGE + 7, data), Ok(2 * PAGE + 7));
    t.is("the hole behind it", file.seek(2 * PAGE, hole), Ok(3 * PAGE));
    t.is("a place within a hole is one", file.seek(10, hole), Ok(10));
    t.is("the next data", file.seek(3 * PAGE, data), Ok(3 * BLOCK + PAGE));
    t.is("the hole at the end", file.seek(3 * BLOCK + PAGE, hole), Ok(3 * BLOCK + PAGE + 5));
    t.fails("no data behind the end", file.seek(4 * BLOCK, data), libc::ENXIO);
    let file = File::new();
    file.truncate(100);
    t.fails("no data in a short hole", file.seek(0, data), libc::ENXIO);
    t.is("a hole there", file.seek(7, hole), Ok(7));
    file.write(50, 1);
    t.is("data from the start of its page", file.seek(7, data), Ok(7));
    t.is("up to the end", file.seek(7, hole), Ok(100));
}

fn main() {
    let mut t = Checks::new();
    written(&mut t);
    truncated(&mut t);
    punched(&mut t);
    allocated(&mut t);
    sought(&mut t);
    t.end()
}
