import { Job } from "@/features/training/components/job";

interface TrainingJobPageProps {
  params: Promise<{ id: string }>;
}

export default async function TrainingJobPage({ params }: TrainingJobPageProps) {
  const { id } = await params;
  return <Job id={id} />;
}
